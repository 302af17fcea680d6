// How a SharedSwitch is reached for now: the switch is here, or the process that holds it is at the other end of a stream.
using System.Net.Sockets;
using Sharpvisor.Core;
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Network;

internal abstract class SwitchLink : IDisposable
{
    public abstract bool IsServing { get; }

    /// <summary>The switch in this process; null when another process holds the lock.</summary>
    public static SwitchLink? TryServe(string path)
    {
        var lockFile = new FileStream(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        if (!HostFile.TryLock(lockFile.SafeFileHandle, exclusive: true))
        {
            lockFile.Dispose();
            return null;
        }

        try
        {
            return new SwitchServer(path, lockFile);
        }
        catch
        {
            lockFile.Dispose();
            throw;
        }
    }

    /// <summary>A connection to the process that holds the switch; null when it does not listen.</summary>
    public static SwitchLink? TryConnect(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return new SwitchClient(new FrameStream(socket));
        }
        catch (SocketException)
        {
            socket.Dispose();
            return null;
        }
    }

    public abstract void Send(ReadOnlySpan<byte> frame, FrameOffload offload);

    /// <summary>Delivers frames until the link is lost or closed.</summary>
    public abstract void Receive(CardGate card);

    /// <summary>Makes <see cref="Receive"/> and a blocked <see cref="Send"/> return.</summary>
    public abstract void Close();

    public abstract void Dispose();
}

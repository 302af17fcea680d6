// A unix socket that one VM owns: its name is taken, and made free when a process that was killed left it behind.
using System.Net.Sockets;

namespace Sharpvisor.Worker;

/// <summary>Listening sockets with names in the file system.</summary>
public static class HostSocket
{
    /// <summary>The longest name a socket may have (unix(7), sun_path with its final zero).</summary>
    public const int MaxPathBytes = 107;

    /// <summary>Listens at a path; only the user may connect.</summary>
    /// <param name="option">The command line option, for the message.</param>
    /// <exception cref="VmConfigurationException">The path cannot be had.</exception>
    public static Socket Listen(string option, string path)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            RemoveStale(option, path);
            listener.Bind(new UnixDomainSocketEndPoint(path));
            // Before it listens: whoever may connect controls the VM.
#pragma warning disable CA1416 // Sharpvisor runs on Linux.
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
#pragma warning restore CA1416
            listener.Listen();
            return listener;
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            listener.Dispose();
            throw new VmConfigurationException($"{option} {path}: cannot be used ({e.Message})");
        }
        catch
        {
            listener.Dispose();
            throw;
        }
    }

    // A socket that nobody listens on was left behind by a process that was killed.
    private static void RemoveStale(string option, string path)
    {
        if (!File.Exists(path))
        {
            return;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused
            && (File.GetAttributes(path) & FileAttributes.Directory) == 0 && new FileInfo(path).Length == 0)
        {
            File.Delete(path);
            return;
        }

        throw new VmConfigurationException($"{option} {path}: another VM uses it");
    }
}

// One passt process (passt(1), package passt): translates between frames on a unix socket and the host's ordinary sockets, without
// privileges. It gets its end of a socket pair and ends when ours is closed, however we end.
using System.Net.Sockets;
using System.Text;
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Network;

/// <summary>A running passt and the stream to it.</summary>
internal sealed class PasstProcess : IDisposable
{
    private const int AnswerTimeoutMilliseconds = 10_000;
    private const int KeptLines = 8;
    private const int QueueBytes = 4 << 20;
    private readonly ChildProcess _child;
    private readonly Thread _outputReader;
    private readonly Queue<string> _output = new();

    private PasstProcess(ChildProcess child, FrameStream stream)
    {
        _child = child;
        Stream = stream;
        _outputReader = new Thread(ReadOutput) { IsBackground = true, Name = "passt output" };
        _outputReader.Start();
    }

    public FrameStream Stream { get; }

    public int Pid => _child.Pid;

    /// <summary>Starts passt and waits until it answers.</summary>
    /// <exception cref="NetworkException">It is not installed, or refuses; the message says why.</exception>
    public static PasstProcess Start(PasstOptions options)
    {
        (Socket ours, Socket theirs) = SocketPair.Create();
        ChildProcess? child;
        int error;
        using (theirs)
        {
            // On a unix socket the sender's limit is the queue's length; passt drops what does not fit, and TCP then waits for seconds.
            theirs.SendBufferSize = QueueBytes;
            child = ChildProcess.Start("passt", options.ToArguments(ChildProcess.PassedDescriptor), theirs.SafeHandle, out error);
        }

        if (child is null)
        {
            ours.Dispose();
            throw new NetworkException(error == ChildProcess.ENOENT
                ? "passt is not installed: apt install passt"
                : $"passt cannot be started (errno {error})");
        }

        var process = new PasstProcess(child, new FrameStream(ours));
        try
        {
            process.WaitForAnswer(ours);
            return process;
        }
        catch
        {
            process.Dispose();
            throw;
        }
    }

    /// <summary>Waits for its end and says in words what it said.</summary>
    public string WaitForExit()
    {
        int status = _child.WaitForExit();
        _outputReader.Join();
        return _output.Count > 0 ? string.Join("; ", _output) : $"exit status {status}";
    }

    public void Terminate() => _child.Terminate();

    public void Dispose()
    {
        Stream.Close();
        _child.Terminate();
        _ = _child.WaitForExit();
        _outputReader.Join();
        _child.Dispose();
        Stream.Dispose();
    }

    // passt has no other sign of being ready that every version has: it answers ARP only once all it was asked for is set up.
    private void WaitForAnswer(Socket socket)
    {
        Span<byte> request = stackalloc byte[60];
        request.Clear();
        WriteArpRequest(request);
        Stream.Send(request);
        if (socket.Poll(AnswerTimeoutMilliseconds * 1000, SelectMode.SelectRead))
        {
            if (Stream.TryReceive(out _))
            {
                return;
            }

            throw new NetworkException($"passt: {WaitForExit()}");
        }

        throw new NetworkException("passt does not answer");
    }

    // RFC 826: who has the gateway's address? From an address of its own, which passt forgets at the guest's first frame.
    private static void WriteArpRequest(Span<byte> frame)
    {
        ReadOnlySpan<byte> sender = [0x02, 0, 0, 0, 0, 1];
        frame[..6].Fill(0xFF);
        sender.CopyTo(frame[6..]);
        ReadOnlySpan<byte> fixedPart = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1];
        fixedPart.CopyTo(frame[12..]);
        sender.CopyTo(frame[22..]);
        _ = System.Net.IPAddress.Parse(PasstOptions.GuestAddress).TryWriteBytes(frame[28..], out _);
        _ = System.Net.IPAddress.Parse(PasstOptions.HostAddress).TryWriteBytes(frame[38..], out _);
    }

    private void ReadOutput()
    {
        using var reader = new StreamReader(_child.Output, Encoding.UTF8, detectEncodingFromByteOrderMarks: false, leaveOpen: true);
        while (reader.ReadLine() is { } line)
        {
            // The rest is what went well, and complaints about a host without syslog.
            if (line.Length == 0 || line.StartsWith("Failed to send", StringComparison.Ordinal)
                || line.StartsWith("Don't run as root", StringComparison.Ordinal))
            {
                continue;
            }

            if (_output.Count == KeptLines)
            {
                _ = _output.Dequeue();
            }

            _output.Enqueue(line.Trim());
        }
    }
}

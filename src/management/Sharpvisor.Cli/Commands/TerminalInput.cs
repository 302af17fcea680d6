// Standard input as the guest's serial line. A terminal is put in raw mode, so that Ctrl-C reaches the guest; Ctrl-A x ends
// the VM, Ctrl-A Ctrl-A sends one Ctrl-A (the keys of qemu's -nographic).
using System.Diagnostics;
using System.IO.Pipelines;

namespace Sharpvisor.Cli.Commands;

internal sealed class TerminalInput : IDisposable
{
    private const byte ControlA = 1;
    private readonly string? _savedMode;
    private readonly Pipe _pipe = new();

    private TerminalInput(string? savedMode, Action quit)
    {
        _savedMode = savedMode;
        Stream = _pipe.Reader.AsStream();
        var pump = new Thread(() => Pump(savedMode is not null, quit)) { IsBackground = true, Name = "console input" };
        pump.Start();
    }

    public Stream Stream { get; }

    /// <summary>Null when the process has no standard input to speak of.</summary>
    public static TerminalInput? Open(Action quit)
    {
        string? saved = Console.IsInputRedirected ? null : Stty("-g");
        if (saved is not null)
        {
            _ = Stty("raw", "-echo");
        }

        return new TerminalInput(saved, quit);
    }

    public void Dispose()
    {
        if (_savedMode is not null)
        {
            _ = Stty(_savedMode);
        }
    }

    private void Pump(bool hasEscape, Action quit)
    {
        using Stream input = Console.OpenStandardInput();
        byte[] buffer = new byte[256];
        bool escaped = false;
        int read;
        while ((read = input.Read(buffer)) > 0)
        {
            Span<byte> output = _pipe.Writer.GetSpan(read);
            int length = 0;
            foreach (byte key in buffer.AsSpan(0, read))
            {
                if (hasEscape && !escaped && key == ControlA)
                {
                    escaped = true;
                    continue;
                }

                if (escaped && key == (byte)'x')
                {
                    quit();
                    return;
                }

                escaped = false;
                output[length++] = key;
            }

            _pipe.Writer.Advance(length);
            _ = _pipe.Writer.FlushAsync().AsTask().GetAwaiter().GetResult();
        }

        _pipe.Writer.Complete();
    }

    private static string? Stty(params string[] arguments)
    {
        using Process? process = Process.Start(new ProcessStartInfo("stty", arguments) { RedirectStandardOutput = true });
        string? output = process?.StandardOutput.ReadToEnd().Trim();
        process?.WaitForExit();
        return process?.ExitCode == 0 ? output : null;
    }
}

// sharpvisor run: one VM, its serial console on this terminal.
using System.CommandLine;
using Sharpvisor.Cli.Control;
using Sharpvisor.Cli.Options;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Commands;

internal static class RunCommand
{
    public static Command Create()
    {
        var options = new VmCommandOptions();
        var command = new Command("run", "Boot a VM; its serial console is this terminal (Ctrl-A x ends it)");
        options.AddTo(command);
        var ctl = new Option<string?>("--ctl") { Description = "Make a socket for sharpvisor ctl", HelpName = "SOCKET" };
        command.Add(ctl);
        var vnc = new Option<string?>("--vnc")
        {
            Description = "Let VNC viewers see the screen and use keyboard and mouse; a TCP port needs a password",
            HelpName = "unix:PATH|127.0.0.1:PORT,password-file=FILE",
        };
        command.Add(vnc);
        command.SetAction((parsed, cancellation) =>
            CommandErrors.GuardAsync(() => RunAsync(options, parsed.GetValue(ctl), parsed.GetValue(vnc), parsed, cancellation)));
        return command;
    }

    private static async Task<int> RunAsync(
        VmCommandOptions options, string? ctl, string? vnc, ParseResult parsed, CancellationToken cancellation)
    {
        VmOptions vmOptions = options.ToVmOptions(parsed);
        using FileStream? statistics = CommandErrors.CreateFile("--stats", options.StatsPath(parsed));
        using FileStream? traceFile = CommandErrors.CreateFile("--trace", options.TracePath(parsed));
        using var trace = traceFile is null ? null : new FileTrace(traceFile);
        using ControlServer? control = ctl is null ? null : ControlServer.Bind(ctl);
        using VncListener? viewers = vnc is null ? null : VncListener.Bind(vnc);
        using Stream output = Console.OpenStandardOutput();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using TerminalInput? terminal = TerminalInput.Open(stop.Cancel);

        using VirtualMachine vm = VirtualMachine.Create(vmOptions with
        {
            SerialOutput = output,
            SerialInput = terminal?.Stream,
            Trace = trace,
        });
        control?.Start(vm);
        viewers?.Start(vm);
        VmRunOutcome outcome = await VmRun.ToEndAsync(vm, options.Timeout(parsed), stop.Token);
        if (statistics is not null)
        {
            vm.WriteStatistics(statistics);
        }

        return outcome.ExitStatus;
    }
}

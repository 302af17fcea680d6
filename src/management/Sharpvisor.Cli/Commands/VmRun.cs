// Runs a VM to its end and names the end in one line on stderr.
using System.Runtime.InteropServices;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Commands;

/// <param name="Result">Null when the time was up.</param>
internal readonly record struct VmRunOutcome(int ExitStatus, VmResult? Result);

internal static class VmRun
{
    public static async Task<VmRunOutcome> ToEndAsync(VirtualMachine vm, TimeSpan? timeout, CancellationToken stop)
    {
        using var signals = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using PosixSignalRegistration onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            signals.Cancel();
        });
        vm.Start();
        try
        {
            await vm.Completion.WaitAsync(timeout ?? System.Threading.Timeout.InfiniteTimeSpan, signals.Token);
        }
        catch (OperationCanceledException)
        {
            vm.Stop();
        }
        catch (TimeoutException)
        {
            IReadOnlyList<string> processors = vm.DescribeProcessors();
            vm.Stop();
            await vm.Completion;
            foreach (string processor in processors)
            {
                await Console.Error.WriteLineAsync(processor);
            }

            await Console.Error.WriteLineAsync($"sharpvisor: gave up after {timeout!.Value.TotalSeconds:0.###} s (--timeout)");
            return new VmRunOutcome(ExitStatus.TimedOut, null);
        }

        VmResult result = await vm.Completion;
        switch (result.Kind)
        {
            case VmExitKind.PowerOff:
                return new VmRunOutcome(ExitStatus.Success, result);
            case VmExitKind.DebugExit:
                return new VmRunOutcome(result.ExitStatus, result);
            case VmExitKind.Crash:
                await Console.Error.WriteLineAsync($"sharpvisor: the guest crashed: {result.Message}");
                return new VmRunOutcome(ExitStatus.GuestCrashed, result);
            default:
                await Console.Error.WriteLineAsync("sharpvisor: stopped");
                return new VmRunOutcome(130, result);
        }
    }
}

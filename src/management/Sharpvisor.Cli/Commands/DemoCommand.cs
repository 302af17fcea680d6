// sharpvisor demo: compare on a Debian guest that it prepares itself.
using System.CommandLine;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Commands;

internal static class DemoCommand
{
    public static Command Create()
    {
        var command = new Command("demo", "Prepare a Debian guest and compare it without and with its integration components");
        command.SetAction((_, stop) => CommandErrors.GuardAsync(() => RunAsync(stop)));
        return command;
    }

    private static async Task<int> RunAsync(CancellationToken stop)
    {
        var packages = new DebianPackages(DebianPackages.DefaultCacheDirectory, CompareCommand.Progress);
        LinuxGuest guest = LinuxGuest.Prepare(packages, KernelFlavour.Cloud);
        CompareCommand.Progress($"the guest is Debian's kernel {guest.KernelVersion}, unmodified");
        string initrd = Path.Combine(Directory.CreateDirectory(Path.Combine(packages.CacheDirectory, "guests")).FullName,
            $"{guest.KernelVersion}.{Environment.ProcessId}.cpio");
        await File.WriteAllBytesAsync(initrd, guest.BuildInitramfs("true"), stop);
        try
        {
            return await CompareCommand.CompareAsync(
                new VmOptions { KernelPath = guest.KernelPath, InitrdPath = initrd }, packages, TimeSpan.FromMinutes(10), stop);
        }
        finally
        {
            File.Delete(initrd);
        }
    }
}

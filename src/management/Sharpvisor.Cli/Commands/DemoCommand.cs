// sharpvisor demo: compare on a Debian guest that it prepares itself.
using System.CommandLine;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Core;
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
            int status = await CompareCommand.CompareAsync(
                new VmOptions { KernelPath = guest.KernelPath, InitrdPath = initrd }, packages, TimeSpan.FromMinutes(10), stop);
            return status == ExitStatus.Success ? await CompareNetworkAsync(packages, initrd, stop) : status;
        }
        finally
        {
            File.Delete(initrd);
        }
    }

    // The legacy card's driver is in Debian's generic kernel only.
    private static async Task<int> CompareNetworkAsync(DebianPackages packages, string initrd, CancellationToken stop)
    {
        var network = new NetworkPortOptions { Network = "user" };
        try
        {
            network.Open().Dispose();
        }
        catch (VmConfigurationException e)
        {
            CompareCommand.Progress($"no network table: {e.Message}");
            return ExitStatus.Success;
        }

        LinuxGuest guest = LinuxGuest.Prepare(packages, KernelFlavour.Generic);
        CompareCommand.Progress($"the network's guest is Debian's kernel {guest.KernelVersion}, unmodified");
        await File.WriteAllBytesAsync(initrd, guest.BuildInitramfs("true", modules: ["hv_netvsc", "tulip"]), stop);
        var vm = new VmOptions
        {
            KernelPath = guest.KernelPath,
            InitrdPath = initrd,
            Networks = [new NetworkOptions(NetworkCardKind.Synthetic, MacAddress.NewDynamic(), network.Network, network.Open)],
        };
        return await CompareCommand.CompareNetworkAsync(vm, packages, TimeSpan.FromMinutes(10), stop);
    }
}

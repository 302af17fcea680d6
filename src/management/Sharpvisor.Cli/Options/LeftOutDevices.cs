// --without heartbeat,kvp,…: the synthetic devices (and the VGA adapter) that a VM is not to have.
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Options;

internal static class LeftOutDevices
{
    /// <summary>Every name, for the help text.</summary>
    public static string Names => string.Join(
        ',',
        Single<IntegrationServices>().Select(f => f.ToString()).Concat(Single<ConsoleDevices>().Select(f => f.ToString())).Select(Spell));

    /// <exception cref="VmConfigurationException">A name that is none.</exception>
    public static VmOptions Apply(VmOptions options, IEnumerable<string> lists)
    {
        foreach (string name in lists.SelectMany(l => l.Split(',')))
        {
            IntegrationServices service = Single<IntegrationServices>().FirstOrDefault(f => Spell(f.ToString()) == name);
            ConsoleDevices console = Single<ConsoleDevices>().FirstOrDefault(f => Spell(f.ToString()) == name);
            if (service == IntegrationServices.None && console == ConsoleDevices.None)
            {
                throw new VmConfigurationException($"--without {name}: no such device ({Names})");
            }

            options = options with { Services = options.Services & ~service, Console = options.Console & ~console };
        }

        return options;
    }

    private static IEnumerable<T> Single<T>()
        where T : struct, Enum =>
        Enum.GetValues<T>().Where(f => int.PopCount(Convert.ToInt32(f, null)) == 1);

    private static string Spell(string name) => name.ToLowerInvariant();
}

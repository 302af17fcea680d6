// Plugs a VM's network cards in: synthetic ones are offered on VMBus, emulated ones sit on the PCI bus.
using Sharpvisor.Core;

namespace Sharpvisor.Worker;

internal sealed class VmNetwork : IDisposable
{
    private readonly List<(NetworkOptions Options, INetworkPort Port)> _cards = [];

    /// <exception cref="VmConfigurationException">A network cannot be used; nothing stays open.</exception>
    public VmNetwork(VmOptions options)
    {
        try
        {
            foreach (NetworkOptions card in options.Networks)
            {
                if (card.Kind == NetworkCardKind.Synthetic && !options.Integration)
                {
                    throw new VmConfigurationException(
                        $"--net {card.Network}: a synthetic card is nothing that a VM with --integration off has; use --nic legacy");
                }

                _cards.Add((card, card.CreatePort()));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((_, INetworkPort port) in _cards)
        {
            port.Dispose();
        }
    }
}

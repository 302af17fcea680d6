// Plugs a VM's network cards in: synthetic ones are offered on VMBus, emulated ones sit on the PCI bus.
using Sharpvisor.Core;
using Sharpvisor.Devices.Nic;
using Sharpvisor.Devices.Pci;
using Sharpvisor.VMBus;
using Sharpvisor.Vsp.Network;

namespace Sharpvisor.Worker;

/// <summary>A card as it is now.</summary>
/// <param name="Id">Its number in the VM, which is never used again.</param>
public sealed record NetworkCardState(int Id, NetworkOptions Options, bool LinkUp);

internal sealed class VmNetwork : IDisposable
{
    /// <summary>More than Hyper-V takes.</summary>
    private const int MaximumCards = 16;

    /// <summary>Hyper-V's limit for legacy adapters.</summary>
    private const int MaximumEmulated = 4;

    private readonly List<Card> _cards = [];
    private readonly Lock _lock = new();
    private readonly Func<string, INetworkPort>? _open;
    private VmbusServer? _bus;
    private Statistics? _statistics;
    private ushort _subchannels;
    private int _nextId;
    private bool _paused;
    private bool _disposed;

    /// <exception cref="VmConfigurationException">A network cannot be used; nothing stays open.</exception>
    public VmNetwork(VmOptions options)
    {
        _open = options.OpenNetwork;
        try
        {
            foreach (NetworkOptions card in options.Networks)
            {
                if (card.Kind == NetworkCardKind.Synthetic && !options.Integration)
                {
                    throw new VmConfigurationException(
                        $"--net {card.Network}: a synthetic card is nothing that a VM with --integration off has; use --nic legacy");
                }

                if (card.Kind == NetworkCardKind.Legacy && _cards.Count(c => c.Options.Kind == NetworkCardKind.Legacy) == MaximumEmulated)
                {
                    throw new VmConfigurationException($"--net {card.Network}: more than {MaximumEmulated} legacy network cards");
                }

                if (_cards.Count == MaximumCards)
                {
                    throw new VmConfigurationException($"--net {card.Network}: more than {MaximumCards} network cards");
                }

                _cards.Add(new Card(_nextId++, card, card.CreatePort()));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Puts the emulated cards on the PCI bus.</summary>
    public void AttachEmulated(PciBus bus, GuestMemory memory, ITimerService timers, Statistics statistics)
    {
        int index = 0;
        foreach (Card card in _cards.Where(c => c.Options.Kind == NetworkCardKind.Legacy))
        {
            card.Emulated = new Dec21140(Dec21140.FirstSlot + index, memory, timers, card.Port, card.Options.Address, statistics, index);
            bus.Add(card.Emulated);
            index++;
        }
    }

    /// <summary>Offers the synthetic cards.</summary>
    public void OfferSynthetic(VmbusServer bus, int processors, Statistics statistics)
    {
        (_bus, _statistics, _subchannels) = (bus, statistics, (ushort)(processors - 1));
        foreach (Card card in _cards.Where(c => c.Options.Kind == NetworkCardKind.Synthetic))
        {
            Offer(card);
        }
    }

    /// <summary>The cards there are.</summary>
    public IReadOnlyList<NetworkCardState> List()
    {
        lock (_lock)
        {
            return [.. _cards.Select(c => new NetworkCardState(c.Id, c.Options, c.Vsp?.IsLinkUp ?? true))];
        }
    }

    /// <summary>Adds a synthetic card while the VM runs; returns its number.</summary>
    /// <exception cref="VmConfigurationException">The network cannot be used, or the VM takes no such card.</exception>
    public int Add(string network, MacAddress address)
    {
        if (_bus is null || _open is null)
        {
            throw new VmConfigurationException($"nic add {network}: only a VM with --integration on takes network cards while it runs");
        }

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_cards.Count == MaximumCards)
            {
                throw new VmConfigurationException($"nic add {network}: more than {MaximumCards} network cards");
            }

            INetworkPort port = _open(network);
            var card = new Card(_nextId++, new NetworkOptions(NetworkCardKind.Synthetic, address, network, () => port), port);
            _cards.Add(card);
            Offer(card);
            return card.Id;
        }
    }

    /// <summary>Takes a synthetic card away, whether or not the guest still uses it. False when there is none with this number.</summary>
    public bool Remove(int id)
    {
        lock (_lock)
        {
            int at = _cards.FindIndex(c => c.Id == id && c.Vsp is not null);
            if (_disposed || at < 0)
            {
                return false;
            }

            Card card = _cards[at];
            _cards.RemoveAt(at);
            _bus!.Rescind(card.Vsp!);
            card.Port.Dispose();
            return true;
        }
    }

    /// <summary>Plugs a cable in or out. False when no synthetic card has this number.</summary>
    public bool SetLink(int id, bool connected)
    {
        lock (_lock)
        {
            NetVsp? vsp = _cards.Find(c => c.Id == id)?.Vsp;
            vsp?.SetLink(connected);
            return vsp is not null;
        }
    }

    /// <summary>No frame reaches guest memory from its return on.</summary>
    public void Pause()
    {
        lock (_lock)
        {
            _paused = true;
            _cards.ForEach(c => { c.Vsp?.Pause(); c.Emulated?.Pause(); });
        }
    }

    public void Resume()
    {
        lock (_lock)
        {
            _paused = false;
            _cards.ForEach(c => { c.Vsp?.Resume(); c.Emulated?.Resume(); });
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;


            // A card's thread may be blocked in its port.
            _cards.ForEach(c => c.Port.Dispose());
            _cards.ForEach(c => c.Emulated?.Dispose());
            _cards.Clear();
        }
    }

    private void Offer(Card card)
    {
        var vsp = new NetVsp(card.Id, card.Options.Address, card.Port, _subchannels, _statistics!);
        card.Vsp = vsp;
        if (_paused)
        {
            vsp.Pause();
        }

        _bus!.Offer(vsp);
        vsp.Connect();
    }

    private sealed class Card(int id, NetworkOptions options, INetworkPort port)
    {
        public int Id => id;

        public NetworkOptions Options => options;

        public INetworkPort Port => port;

        /// <summary>The synthetic card; null for an emulated one.</summary>
        public NetVsp? Vsp { get; set; }

        /// <summary>The emulated card; null for a synthetic one.</summary>
        public Dec21140? Emulated { get; set; }
    }
}

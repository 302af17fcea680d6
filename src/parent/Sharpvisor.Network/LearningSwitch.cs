// A learning Ethernet switch (IEEE 802.1Q, 8.7 and 8.8): learns at which port a source address is, and sends a frame to the port of
// its destination, or to all others while that is unknown.
using System.Collections.Immutable;
using Sharpvisor.Core;

namespace Sharpvisor.Network;

/// <summary>Connects any number of ports. Thread-safe.</summary>
public sealed class LearningSwitch
{
    private const int AddressBytes = 6;
    private const int EthernetBytes = 14;

    // Direct-mapped: an address that a hostile guest pushes out is learned again from its next frame.
    private const int TableEntries = 1024;
    private readonly Entry?[] _table = new Entry?[TableEntries];
    private readonly Lock _lock = new();
    private ImmutableArray<SwitchPort> _ports = [];

    /// <summary>A new port for a card in this process; dispose of it to unplug it.</summary>
    public INetworkPort CreatePort()
    {
        var port = new SwitchPort(this);
        lock (_lock)
        {
            _ports = _ports.Add(port);
        }

        return port;
    }

    internal void Remove(SwitchPort port)
    {
        lock (_lock)
        {
            _ports = _ports.Remove(port);
            for (int i = 0; i < _table.Length; i++)
            {
                if (_table[i]?.Port == port)
                {
                    _table[i] = null;
                }
            }
        }
    }

    /// <summary>Takes a frame that came in at a port.</summary>
    internal void Forward(SwitchPort from, ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        if (frame.Length < EthernetBytes)
        {
            return;
        }

        Learn(MacAddress.Read(frame[AddressBytes..]), from);
        MacAddress destination = MacAddress.Read(frame);
        if (Volatile.Read(ref _table[Index(destination)]) is { } entry && entry.Address == destination)
        {
            if (entry.Port != from)
            {
                entry.Port.Enqueue(frame, offload);
            }

            return;
        }

        foreach (SwitchPort port in _ports)
        {
            if (port != from)
            {
                port.Enqueue(frame, offload);
            }
        }
    }

    private void Learn(MacAddress address, SwitchPort port)
    {
        // Bit 40: a group address is nobody's source.
        ref Entry? place = ref _table[Index(address)];
        Entry? known = Volatile.Read(ref place);
        if ((address.Value >> 40 & 1) != 0 || (known is not null && known.Address == address && known.Port == port))
        {
            return;
        }

        lock (_lock)
        {
            // A port that is being removed must not come back.
            if (_ports.Contains(port))
            {
                Volatile.Write(ref place, new Entry(address, port));
            }
        }
    }

    private static int Index(MacAddress address)
    {
        ulong hash = address.Value * 0x9E37_79B9_7F4A_7C15;
        return (int)(hash >> 54) & (TableEntries - 1);
    }

    private sealed record Entry(MacAddress Address, SwitchPort Port);
}

// The guest's receive buffer: memory it registered, divided into sections, each lent to the guest with a frame until it completes the
// packet (nvsp_1_message_send_receive_buffer in drivers/net/hyperv/hyperv_net.h).
using Sharpvisor.VMBus;

namespace Sharpvisor.Vsp.Network;

/// <summary>Which sections are free. Not thread-safe; allocates only when it is made.</summary>
internal sealed class ReceiveBuffer
{
    private const int MaximumSections = 32768;
    private const int Nothing = -1;
    private readonly GpadlView _view;
    // The next free section, or the next one of the same packet.
    private readonly int[] _next;
    private readonly bool[] _lent;
    private int _free = Nothing;

    public ReceiveBuffer(GpadlView view, ushort id, int sectionBytes)
    {
        _view = view;
        Id = id;
        SectionBytes = sectionBytes;
        Count = (int)Math.Min(view.Bytes / sectionBytes, MaximumSections);
        _next = new int[Count];
        _lent = new bool[Count];
        for (int section = Count - 1; section >= 0; section--)
        {
            Free(section);
        }
    }

    /// <summary>The guest's name for it.</summary>
    public ushort Id { get; }

    public int SectionBytes { get; }

    public int Count { get; }

    public int FreeCount { get; private set; }

    /// <summary>Takes a section and puts it behind <paramref name="previous"/>, the last one of the same packet, or -1. There must be one.</summary>
    public int Take(int previous)
    {
        int section = _free;
        _free = _next[section];
        _next[section] = Nothing;
        FreeCount--;
        if (previous >= 0)
        {
            _next[previous] = section;
        }

        return section;
    }

    /// <summary>Copies into a section. False when the guest's pages are no memory, or it does not fit.</summary>
    public bool TryWrite(int section, int offset, ReadOnlySpan<byte> bytes) =>
        offset + bytes.Length <= SectionBytes && _view.TryWrite(((long)section * SectionBytes) + offset, bytes);

    /// <summary>The guest got the packet whose first section this is; it names it by the returned transaction id.</summary>
    public ulong Lend(int first)
    {
        _lent[first] = true;
        return (uint)first + 1;
    }

    /// <summary>The guest is done with a packet. False when it never had it.</summary>
    public bool TryReturn(ulong transactionId)
    {
        ulong first = transactionId - 1;
        if (first >= (ulong)Count || !_lent[first])
        {
            return false;
        }

        _lent[first] = false;
        GiveBack((int)first);
        return true;
    }

    /// <summary>Frees a packet's sections.</summary>
    public void GiveBack(int first)
    {
        while (first != Nothing)
        {
            int next = _next[first];
            Free(first);
            first = next;
        }
    }

    private void Free(int section)
    {
        _next[section] = _free;
        _free = section;
        FreeCount++;
    }
}

// The first page of a ring (include/linux/hyperv.h, struct hv_ring_buffer), as indices of its 32-bit words.
namespace Sharpvisor.VMBus.Protocol;

/// <summary>Word numbers within the control page.</summary>
public static class RingControl
{
    /// <summary>Bytes from the start of the data; owned by the writer.</summary>
    public const int WriteIndex = 0;

    /// <summary>Owned by the reader.</summary>
    public const int ReadIndex = 1;

    /// <summary>Set by the reader while it needs no signal for new data.</summary>
    public const int InterruptMask = 2;

    /// <summary>Set by a writer that waits for this many free bytes.</summary>
    public const int PendingSendSize = 3;

    /// <summary>Bit 0: the ring's writer uses, and its other ring's reader honours, <see cref="PendingSendSize"/>.</summary>
    public const int FeatureBits = 16;

    public const uint FeaturePendingSendSize = 1;

    /// <summary>VMBUS_PKT_TRAILER: after each packet, its start offset in the upper half of 8 bytes.</summary>
    public const int TrailerBytes = 8;
}

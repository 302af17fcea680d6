// Partition reference time in 100 ns units (TLFS "Timers", "Partition Reference Time Enlightenment"): the formula of the
// reference TSC page, used for HV_X64_MSR_TIME_REF_COUNT too, so that the two never disagree by a tick.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal static class ReferenceTsc
{
    /// <summary>2^64 * 10 MHz / TSC frequency, rounded down.</summary>
    public static readonly ulong Scale = (ulong)((((UInt128)1 << 64) * 10_000_000) / IPartitionClock.TscHz);

    public static ulong FromNanoseconds(long nanoseconds) => Math.BigMul((ulong)nanoseconds, Scale, out _);

    /// <summary>The first nanosecond at which the reference time is at least <paramref name="ticks"/>; saturates.</summary>
    public static long ToNanoseconds(ulong ticks)
    {
        const ulong limit = long.MaxValue / 100 - 1;
        return ticks >= limit ? long.MaxValue - 1 : ((long)ticks * 100) + 1;
    }

    /// <summary>Fills HV_REFERENCE_TSC_PAGE.</summary>
    public static void FillPage(Span<byte> page, uint sequence)
    {
        page.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(page[8..], Scale);
        BinaryPrimitives.WriteInt64LittleEndian(page[16..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(page, sequence);
    }
}

// The memory type range registers of a VP, for assemblies without unsafe code (Intel SDM Vol. 3A, 12.11).
namespace Sharpvisor.Core;

/// <summary>Views into the state that an engine keeps in native memory; the same rules as for <see cref="VpRegisters"/>.</summary>
public static unsafe class VpMtrrs
{
    private const int FixedCount = 11;

    /// <summary>
    /// The fixed ranges, one type a byte: 64 KiB units from 0, 16 KiB units from 80000h (index 1) and A0000h (2), 4 KiB units
    /// from C0000h on (3 to 10). Valid as long as the engine.
    /// </summary>
    public static Span<ulong> FixedRanges(VpRegisters registers)
    {
        ArgumentNullException.ThrowIfNull(registers);

        // SAFETY: the state is native memory that never moves.
        fixed (ulong* first = registers.State.MtrrFixed)
        {
            return new Span<ulong>(first, FixedCount);
        }
    }
}

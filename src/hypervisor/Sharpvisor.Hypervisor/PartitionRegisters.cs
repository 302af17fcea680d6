// Synthetic registers that all VPs share: guest OS identity, the hypercall page, the reference TSC page and the crash
// registers (TLFS "Hypercall Interface", "Timers", "Partition Crash Enlightenment").
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class PartitionRegisters
{
    private const ulong Enable = 1;
    private const ulong Locked = 2;
    private readonly Lock _lock = new();
    private readonly IPartitionClock _clock;
    private readonly OverlaySlot _hypercallPage;
    private readonly OverlaySlot _tscPage;
    private readonly ulong[] _crash = new ulong[5];
    private ulong _guestOsId;
    private ulong _hypercall;
    private ulong _referenceTsc;
    private int _pageUpdates;

    public PartitionRegisters(GuestMemory memory, IPartitionClock clock)
    {
        _clock = clock;
        _hypercallPage = new OverlaySlot(memory, writable: false);
        _tscPage = new OverlaySlot(memory, writable: false);

        // VMCALL; RET. All the rest is INT3, to catch a guest that enters anywhere else.
        Span<byte> page = _hypercallPage.Page.Bytes;
        page.Fill(0xCC);
        ReadOnlySpan<byte> code = [0x0F, 0x01, 0xC1, 0xC3];
        code.CopyTo(page);
        ReferenceTsc.FillPage(_tscPage.Page.Bytes, sequence: 1);
    }

    public ulong ReferenceTime => ReferenceTsc.FromNanoseconds(_clock.Nanoseconds);

    public ulong Hypercall => Volatile.Read(ref _hypercall);

    /// <summary>TLFS "Establishing the Hypercall Interface": no hypercalls before the guest has introduced itself.</summary>
    public bool HypercallsEnabled => Volatile.Read(ref _guestOsId) != 0;

    public ulong ReferenceTscRegister => Volatile.Read(ref _referenceTsc);

    public ulong GuestOsId
    {
        get => Volatile.Read(ref _guestOsId);
        set
        {
            lock (_lock)
            {
                Volatile.Write(ref _guestOsId, value);
                if (value == 0 && (_hypercall & Locked) == 0)
                {
                    // TLFS: clearing the guest OS id disables the hypercall page.
                    _hypercall &= ~Enable;
                }
            }

            UpdatePages();
        }
    }

    /// <returns>False (#GP) when the register is locked.</returns>
    public bool TrySetHypercall(ulong value)
    {
        lock (_lock)
        {
            if ((_hypercall & Locked) != 0)
            {
                return false;
            }

            _hypercall = _guestOsId == 0 ? value & ~(Enable | Locked) : value;
        }

        UpdatePages();
        return true;
    }

    public void SetReferenceTsc(ulong value)
    {
        Volatile.Write(ref _referenceTsc, value);
        UpdatePages();
    }

    public ulong CrashParameter(int index) => Volatile.Read(ref _crash[index]);

    public void SetCrashParameter(int index, ulong value) => Volatile.Write(ref _crash[index], value);

    public ulong[] CrashParameters() => [.. _crash];

    public void Reset()
    {
        lock (_lock)
        {
            Volatile.Write(ref _guestOsId, 0);
            Volatile.Write(ref _hypercall, 0);
            Volatile.Write(ref _referenceTsc, 0);
            Array.Clear(_crash);
        }

        UpdatePages();
    }

    /// <summary>
    /// Makes the overlays follow the registers. No lock is held: a layout change may wait for other VPs. When two VPs write
    /// at once, the first one in does the work for both.
    /// </summary>
    private void UpdatePages()
    {
        if (Interlocked.Increment(ref _pageUpdates) != 1)
        {
            return;
        }

        int seen;
        do
        {
            seen = Volatile.Read(ref _pageUpdates);
            ulong hypercall = Volatile.Read(ref _hypercall);
            ulong tsc = Volatile.Read(ref _referenceTsc);
            _hypercallPage.Update((hypercall & Enable) != 0, hypercall >> GuestMemory.PageShift);
            _tscPage.Update((tsc & Enable) != 0, tsc >> GuestMemory.PageShift);
        }
        while (Interlocked.Add(ref _pageUpdates, -seen) != 0);
    }
}

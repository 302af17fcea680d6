// The guest's data accesses by linear address at the current privilege: an inlined TLB hit, and out-of-line paths for page
// walks, page crossings, MMIO, code-tracked pages, breakpoints and alignment checks.
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Mmu;

/// <summary>
/// All members return false (or null) after recording a fault in <see cref="EngineBlock.Fault"/>; the handler then returns
/// null with the registers unchanged.
/// </summary>
internal static unsafe class GuestAccess
{
    /// <summary>Reads 1, 2, 4, 8, 16 or 32 bytes (also 6 and 10: pseudo-descriptors and far pointers).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Load<T>(VpState* s, ulong linear, out T value)
        where T : unmanaged
    {
        TlbEntry* entry = Slot(EngineBlock.Of(s)->Tlb, linear);
        if (LastPage<T>(linear) == entry->ReadTag)
        {
            value = Unsafe.ReadUnaligned<T>((byte*)(entry->HostPage + ((uint)linear & 0xFFF)));
            return true;
        }

        return LoadSlow(s, linear, out value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Store<T>(VpState* s, ulong linear, T value)
        where T : unmanaged
    {
        TlbEntry* entry = Slot(EngineBlock.Of(s)->Tlb, linear);
        if (LastPage<T>(linear) == entry->WriteTag)
        {
            Unsafe.WriteUnaligned((byte*)(entry->HostPage + ((uint)linear & 0xFFF)), value);
            return true;
        }

        return StoreSlow(s, linear, value);
    }

    /// <summary>The read of a read-modify-write: checks write permission first, so that the store that follows cannot fault.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool LoadForWrite<T>(VpState* s, ulong linear, out T value)
        where T : unmanaged
    {
        TlbEntry* entry = Slot(EngineBlock.Of(s)->Tlb, linear);
        if (LastPage<T>(linear) == entry->WriteTag)
        {
            value = Unsafe.ReadUnaligned<T>((byte*)(entry->HostPage + ((uint)linear & 0xFFF)));
            return true;
        }

        return LoadForWriteSlow(s, linear, out value);
    }

    /// <inheritdoc cref="Atomic{T}(VpState*, ulong, out bool)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T* Atomic<T>(VpState* s, ulong linear)
        where T : unmanaged
        => Atomic<T>(s, linear, out _);

    /// <summary>
    /// A host pointer for an interlocked operation. Null with <paramref name="faulted"/>: a fault is recorded. Null without: the
    /// operand crosses a page or is not plain memory; do it with <see cref="LoadForWrite{T}"/> and <see cref="Store{T}"/> inside
    /// <see cref="SplitLock"/>, which orders such operations among themselves only (as split locks on MMIO are not promised more).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T* Atomic<T>(VpState* s, ulong linear, out bool faulted)
        where T : unmanaged
    {
        TlbEntry* entry = Slot(EngineBlock.Of(s)->Tlb, linear);
        if (LastPage<T>(linear) == entry->WriteTag)
        {
            faulted = false;
            return (T*)(entry->HostPage + ((uint)linear & 0xFFF));
        }

        return (T*)AtomicSlow(s, linear, sizeof(T), out faulted);
    }

    /// <summary>Serialises locked operations that cannot be one host instruction.</summary>
    public static Lock SplitLock { get; } = new();

    /// <summary>Host memory readable from <paramref name="linear"/> to the end of its page; 0 bytes: go element by element. Never raises.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* ReadRun(VpState* s, ulong linear, out int bytes)
    {
        TlbEntry* entry = Slot(EngineBlock.Of(s)->Tlb, linear);
        if ((linear & ~0xFFFUL) == entry->ReadTag)
        {
            bytes = 4096 - ((int)linear & 0xFFF);
            return (byte*)(entry->HostPage + ((uint)linear & 0xFFF));
        }

        return ReadRunSlow(s, linear, out bytes);
    }

    /// <inheritdoc cref="ReadRun"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* WriteRun(VpState* s, ulong linear, out int bytes)
    {
        TlbEntry* entry = Slot(EngineBlock.Of(s)->Tlb, linear);
        if ((linear & ~0xFFFUL) == entry->WriteTag)
        {
            bytes = 4096 - ((int)linear & 0xFFF);
            return (byte*)(entry->HostPage + ((uint)linear & 0xFFF));
        }

        return WriteRunSlow(s, linear, out bytes);
    }

    /// <summary>A read by the processor itself: supervisor privilege whatever the CPL (Intel SDM Vol. 3A, 4.6.1, implicit access).</summary>
    public static bool LoadSystem<T>(VpState* s, ulong linear, out T value)
        where T : unmanaged
    {
        TlbEntry* entry = Slot(EngineBlock.Of(s)->SystemTlb, linear);
        if (LastPage<T>(linear) == entry->ReadTag)
        {
            value = Unsafe.ReadUnaligned<T>((byte*)(entry->HostPage + ((uint)linear & 0xFFF)));
            return true;
        }

        Unsafe.SkipInit(out value);
        fixed (T* pointer = &value)
        {
            return Vp.Of(s).Mmu.Read(linear, (byte*)pointer, sizeof(T), AccessKind.System, forWrite: false);
        }
    }

    /// <inheritdoc cref="LoadSystem"/>
    public static bool StoreSystem<T>(VpState* s, ulong linear, T value)
        where T : unmanaged
    {
        TlbEntry* entry = Slot(EngineBlock.Of(s)->SystemTlb, linear);
        if (LastPage<T>(linear) == entry->WriteTag)
        {
            Unsafe.WriteUnaligned((byte*)(entry->HostPage + ((uint)linear & 0xFFF)), value);
            return true;
        }

        return Vp.Of(s).Mmu.Write(linear, (byte*)&value, sizeof(T), AccessKind.System);
    }

    /// <summary>Translates an instruction fetch. <paramref name="host"/> is null when the code lies outside memory.</summary>
    public static bool TranslateCode(VpState* s, ulong linear, out ulong gpa, out byte* host)
        => Vp.Of(s).Mmu.TranslateCode(linear, out gpa, out host);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TlbEntry* Slot(TlbEntry* set, ulong linear)
        => (TlbEntry*)((byte*)set + ((linear >> 7) & TlbSet.OffsetMask));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong LastPage<T>(ulong linear)
        where T : unmanaged
        => (linear + (uint)(sizeof(T) - 1)) & ~0xFFFUL;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool LoadSlow<T>(VpState* s, ulong linear, out T value)
        where T : unmanaged
    {
        Unsafe.SkipInit(out value);
        fixed (T* pointer = &value)
        {
            return Vp.Of(s).Mmu.Read(linear, (byte*)pointer, sizeof(T), AccessKind.Data, forWrite: false);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool LoadForWriteSlow<T>(VpState* s, ulong linear, out T value)
        where T : unmanaged
    {
        Unsafe.SkipInit(out value);
        fixed (T* pointer = &value)
        {
            return Vp.Of(s).Mmu.Read(linear, (byte*)pointer, sizeof(T), AccessKind.Data, forWrite: true);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool StoreSlow<T>(VpState* s, ulong linear, T value)
        where T : unmanaged
        => Vp.Of(s).Mmu.Write(linear, (byte*)&value, sizeof(T), AccessKind.Data);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static byte* AtomicSlow(VpState* s, ulong linear, int bytes, out bool faulted)
        => Vp.Of(s).Mmu.Atomic(linear, bytes, out faulted);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static byte* ReadRunSlow(VpState* s, ulong linear, out int bytes)
        => Vp.Of(s).Mmu.Run(linear, write: false, out bytes);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static byte* WriteRunSlow(VpState* s, ulong linear, out int bytes)
        => Vp.Of(s).Mmu.Run(linear, write: true, out bytes);
}

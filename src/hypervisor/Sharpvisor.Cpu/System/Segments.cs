// Segment register loads in every mode: Intel SDM Vol. 3A, 3.4 and 5.5 to 5.7; Vol. 2, MOV and LDS.
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class Segments
{
    public static bool IsProtected(VpState* s) => (s->Cr0 & Cr0.PE) != 0;

    public static bool IsVirtual8086(VpState* s) => (s->RFlags & RFlag.VM) != 0;

    /// <summary>Selectors are paragraph numbers: real mode and virtual-8086 mode.</summary>
    public static bool IsRealStyle(VpState* s) => !IsProtected(s) || IsVirtual8086(s);

    public static bool IsLongMode(VpState* s) => (s->Efer & Efer.LMA) != 0;

    /// <summary>Running 64-bit code, as opposed to compatibility mode.</summary>
    public static bool Is64Bit(VpState* s)
        => IsLongMode(s) && (VpState.Seg(s, Segment.Cs)->Attributes & SegAttr.Long) != 0;

    public static bool IsNull(ushort selector) => (selector & 0xFFFC) == 0;

    public static bool IsCanonical(ulong address) => (address + 0x8000_0000_0000UL) >> 48 == 0;

    /// <summary>Recomputes what depends on CPL and RFLAGS.AC. Code caches need no notice: their tags hold the mode.</summary>
    public static void ContextChanged(VpState* s) => Vp.Of(s).Mmu.UpdateContext();

    /// <summary>Changes the CPL for accesses that follow; the caller calls <see cref="ContextChanged"/> when it is final.</summary>
    public static void SetCpl(VpState* s, uint cpl)
    {
        if (s->Cpl != cpl)
        {
            s->Cpl = cpl;
            Vp.Of(s).Mmu.UpdateContext();
        }
    }

    /// <summary>Linear address of a descriptor. False without a fault: outside its table.</summary>
    public static bool Locate(VpState* s, ushort selector, int bytes, out ulong linear)
    {
        ulong tableBase;
        uint limit;
        if ((selector & 4) == 0)
        {
            tableBase = s->Gdtr.Base;
            limit = s->Gdtr.Limit;
        }
        else
        {
            SegmentRegister* ldt = VpState.Seg(s, Segment.Ldtr);
            tableBase = ldt->Base;
            limit = ldt->Limit;
            if ((ldt->Attributes & SegAttr.Present) == 0)
            {
                linear = 0;
                return false;
            }
        }

        uint offset = selector & 0xFFF8u;
        linear = tableBase + offset;
        if (!IsLongMode(s))
        {
            linear = (uint)linear;
        }

        return offset + (uint)bytes - 1 <= limit;
    }

    /// <summary>Reads an 8-byte descriptor; outside the table: <paramref name="vector"/>(selector | ext).</summary>
    public static bool Read(VpState* s, ushort selector, byte vector, uint ext, out Descriptor descriptor)
    {
        descriptor = default;
        if (!Locate(s, selector, 8, out ulong linear))
        {
            return Faults.Record(s, vector, Error(selector, ext));
        }

        if (!GuestAccess.LoadSystem(s, linear, out ulong low))
        {
            return false;
        }

        descriptor = new Descriptor(low, 0);
        return true;
    }

    /// <summary>Reads the upper half of a 16-byte descriptor of long mode.</summary>
    public static bool ReadHigh(VpState* s, ushort selector, byte vector, uint ext, ref Descriptor descriptor)
    {
        if (!Locate(s, selector, 16, out ulong linear))
        {
            return Faults.Record(s, vector, Error(selector, ext));
        }

        if (!GuestAccess.LoadSystem(s, linear + 8, out ulong high))
        {
            return false;
        }

        // Bits 12..8 of the last dword must be 0: a type there means that the upper half is a descriptor of its own.
        if ((high & 0x1F00_0000_0000UL) != 0)
        {
            return Faults.Record(s, vector, Error(selector, ext));
        }

        descriptor = descriptor with { High = high & 0xFFFF_FFFF };
        return true;
    }

    public static uint Error(ushort selector, uint ext) => (selector & 0xFFFCu) | ext;

    /// <summary>Sets the accessed bit in the table, as any load of a code or data segment does.</summary>
    public static bool MarkAccessed(VpState* s, ushort selector, ref Descriptor descriptor)
    {
        if ((descriptor.Low & (1UL << 40)) != 0)
        {
            return true;
        }

        ulong low = descriptor.Low | (1UL << 40);
        if (!Locate(s, selector, 8, out ulong linear) || !GuestAccess.StoreSystem(s, linear + 5, (byte)(low >> 40)))
        {
            return EngineBlock.Of(s)->Fault.Pending == 0 && Faults.Record(s, Vector.GP, Error(selector, 0));
        }

        descriptor = descriptor with { Low = low };
        return true;
    }

    /// <summary>Fills a register from a code or data descriptor.</summary>
    public static void Fill(SegmentRegister* register, ushort selector, Descriptor descriptor)
    {
        register->Selector = selector;
        register->Base = descriptor.Base32;
        register->Limit = descriptor.Limit;
        register->Attributes = descriptor.Attributes;
    }

    /// <summary>A null selector in a data segment register. The base becomes 0, as on Intel (Linux: X86_BUG_NULL_SEG).</summary>
    public static void FillNull(SegmentRegister* register, ushort selector, uint dpl = 0)
    {
        register->Selector = selector;
        register->Base = 0;
        register->Limit = 0;
        register->Attributes = (ushort)(dpl << SegAttr.DplShift);
    }

    /// <summary>Real mode: the base moves; limit and size bits stay, which is what "big real mode" lives on.</summary>
    public static void FillReal(SegmentRegister* register, ushort selector)
    {
        register->Selector = selector;
        register->Base = (ulong)selector << 4;
        if ((register->Attributes & SegAttr.Present) == 0)
        {
            register->Limit = 0xFFFF;
            register->Attributes = 0;
        }

        register->Attributes = (ushort)((register->Attributes & ~0xFF) | 0x93);
    }

    /// <summary>Virtual-8086 mode is entered: Intel SDM Vol. 3A, 21.2.1, descriptors as for real mode at DPL 3.</summary>
    public static void FillVirtual(SegmentRegister* register, ushort selector)
    {
        register->Selector = selector;
        register->Base = (ulong)selector << 4;
        register->Limit = 0xFFFF;
        register->Attributes = 0xF3;
    }

    /// <summary>MOV, POP and LxS to ES, SS, DS, FS or GS.</summary>
    public static bool LoadData(VpState* s, Segment segment, ushort selector)
    {
        SegmentRegister* register = VpState.Seg(s, segment);
        if (IsRealStyle(s))
        {
            FillReal(register, selector);
            return true;
        }

        return segment == Segment.Ss
            ? LoadStack(s, selector, s->Cpl, Vector.GP, 0, out Descriptor stack, out bool isNull) && CommitStack(s, selector, stack, isNull)
            : LoadPlain(s, register, selector);
    }

    /// <summary>Checks and reads a stack segment for a privilege level; nothing is committed.</summary>
    /// <param name="vector">#GP for instructions, #TS when the selector comes from a TSS.</param>
    public static bool LoadStack(VpState* s, ushort selector, uint cpl, byte vector, uint ext, out Descriptor descriptor, out bool isNull)
    {
        descriptor = default;
        isNull = IsNull(selector);
        if (isNull)
        {
            return (Is64Bit(s) && cpl != 3 && (selector & 3) == cpl) || Faults.Record(s, vector, vector == Vector.TS ? Error(selector, ext) : ext);
        }

        if (!Read(s, selector, vector, ext, out descriptor))
        {
            return false;
        }

        if ((selector & 3) != cpl || !descriptor.IsWritableData || descriptor.Dpl != cpl)
        {
            return Faults.Record(s, vector, Error(selector, ext));
        }

        return (descriptor.Present || Faults.Record(s, Vector.SS, Error(selector, ext)))
            && MarkAccessed(s, selector, ref descriptor);
    }

    public static bool CommitStack(VpState* s, ushort selector, Descriptor descriptor, bool isNull)
    {
        SegmentRegister* register = VpState.Seg(s, Segment.Ss);
        if (isNull)
        {
            FillNull(register, selector, (uint)selector & 3);
        }
        else
        {
            Fill(register, selector, descriptor);
        }

        return true;
    }

    /// <summary>Drops data segments that the new, less privileged CPL may not use (far RET and IRET to an outer level).</summary>
    public static void DropInaccessible(VpState* s)
    {
        Drop(s, Segment.Es);
        Drop(s, Segment.Ds);
        Drop(s, Segment.Fs);
        Drop(s, Segment.Gs);
    }

    /// <summary>LLDT.</summary>
    public static bool LoadLdt(VpState* s, ushort selector, byte vector = Vector.GP)
    {
        SegmentRegister* register = VpState.Seg(s, Segment.Ldtr);
        if (IsNull(selector))
        {
            FillNull(register, selector);
            return true;
        }

        if ((selector & 4) != 0)
        {
            return Faults.Record(s, vector, Error(selector, 0));
        }

        if (!Read(s, selector, vector, 0, out Descriptor descriptor))
        {
            return false;
        }

        if (!descriptor.IsSystem || descriptor.Type != Descriptor.Ldt)
        {
            return Faults.Record(s, vector, Error(selector, 0));
        }

        if (!descriptor.Present)
        {
            return Faults.Record(s, vector == Vector.TS ? Vector.TS : Vector.NP, Error(selector, 0));
        }

        return FinishSystem(s, register, selector, descriptor);
    }

    /// <summary>LTR: also marks the TSS busy.</summary>
    public static bool LoadTaskRegister(VpState* s, ushort selector)
    {
        if (IsNull(selector))
        {
            return Faults.Record(s, Vector.GP, 0);
        }

        if ((selector & 4) != 0)
        {
            return Faults.Record(s, Vector.GP, Error(selector, 0));
        }

        if (!Read(s, selector, Vector.GP, 0, out Descriptor descriptor))
        {
            return false;
        }

        bool available = descriptor.IsSystem
            && (descriptor.Type == Descriptor.Tss32 || (descriptor.Type == Descriptor.Tss16 && !IsLongMode(s)));
        if (!available)
        {
            return Faults.Record(s, Vector.GP, Error(selector, 0));
        }

        if (!descriptor.Present)
        {
            return Faults.Record(s, Vector.NP, Error(selector, 0));
        }

        SegmentRegister loaded = default;
        if (!FinishSystem(s, &loaded, selector, descriptor))
        {
            return false;
        }

        _ = Locate(s, selector, 8, out ulong linear);
        if (!GuestAccess.StoreSystem(s, linear + 5, (byte)((descriptor.Low >> 40) | 2)))
        {
            return false;
        }

        loaded.Attributes |= 2;
        *VpState.Seg(s, Segment.Tr) = loaded;
        return true;
    }

    private static bool FinishSystem(VpState* s, SegmentRegister* register, ushort selector, Descriptor descriptor)
    {
        if (IsLongMode(s))
        {
            if (!ReadHigh(s, selector, Vector.GP, 0, ref descriptor))
            {
                return false;
            }

            if (!IsCanonical(descriptor.Base64))
            {
                return Faults.Record(s, Vector.GP, Error(selector, 0));
            }
        }

        Fill(register, selector, descriptor);
        register->Base = descriptor.Base64;
        return true;
    }

    private static bool LoadPlain(VpState* s, SegmentRegister* register, ushort selector)
    {
        if (IsNull(selector))
        {
            FillNull(register, selector);
            return true;
        }

        if (!Read(s, selector, Vector.GP, 0, out Descriptor descriptor))
        {
            return false;
        }

        uint rpl = selector & 3u;
        if (!descriptor.IsReadable
            || (!descriptor.IsConforming && (rpl > descriptor.Dpl || s->Cpl > descriptor.Dpl)))
        {
            return Faults.Record(s, Vector.GP, Error(selector, 0));
        }

        if (!descriptor.Present)
        {
            return Faults.Record(s, Vector.NP, Error(selector, 0));
        }

        if (!MarkAccessed(s, selector, ref descriptor))
        {
            return false;
        }

        Fill(register, selector, descriptor);
        return true;
    }

    private static void Drop(VpState* s, Segment segment)
    {
        SegmentRegister* register = VpState.Seg(s, segment);
        int attributes = register->Attributes;
        bool conforming = (attributes & (SegAttr.Code | SegAttr.Conforming)) == (SegAttr.Code | SegAttr.Conforming);
        if (!conforming && ((attributes >> SegAttr.DplShift) & 3) < s->Cpl)
        {
            // The descriptor becomes unusable, the base stays: in 64-bit mode FS and GS go on using what WRMSR put there
            // (kvm-unit-tests x86/emulator64.c, test_iret; lib/x86/smp.c keeps its per-CPU data behind such a GS).
            register->Selector = 0;
            register->Limit = 0;
            register->Attributes = 0;
        }
    }
}

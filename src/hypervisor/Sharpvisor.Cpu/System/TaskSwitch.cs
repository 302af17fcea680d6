// Hardware task switches: Intel SDM Vol. 3A, chapter 8 (not available in long mode).
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

/// <summary>Switches to another TSS.</summary>
internal static unsafe class TaskSwitch
{
    public enum Reason
    {
        Jump,
        Call,
        /// <summary>An exception or interrupt through a task gate: nests like a call.</summary>
        Gate,
        Return,
    }

    private const int Tss16Bytes = 44;
    private const int Tss32Bytes = 104;

    /// <summary>False: a fault is recorded; faults after the commit point are raised in the new task, as on hardware.</summary>
    public static bool Perform(VpState* s, ushort selector, Reason reason, ulong nextRip, uint ext, bool resumeFlag)
    {
        byte badSelector = reason == Reason.Return ? Vector.TS : Vector.GP;
        if (Segments.IsNull(selector) || (selector & 4) != 0)
        {
            return Faults.Record(s, badSelector, Segments.Error(selector, ext));
        }

        if (!Segments.Read(s, selector, badSelector, ext, out Descriptor tss))
        {
            return false;
        }

        bool busy = tss.Type is Descriptor.Tss16Busy or Descriptor.Tss32Busy;
        bool isTss = tss.IsSystem && (tss.Type & 5) == 1;
        if (!isTss || busy != (reason == Reason.Return))
        {
            return Faults.Record(s, badSelector, Segments.Error(selector, ext));
        }

        if (!tss.Present)
        {
            return Faults.Record(s, Vector.NP, Segments.Error(selector, ext));
        }

        bool wide = (tss.Type & 8) != 0;
        if (tss.Limit < (wide ? Tss32Bytes - 1 : Tss16Bytes - 1))
        {
            return Faults.Record(s, Vector.TS, Segments.Error(selector, ext));
        }

        Image image;
        return ReadImage(s, tss.Base32, wide, &image)
            && SaveOld(s, reason, nextRip, resumeFlag)
            && Commit(s, selector, tss, reason, wide, &image);
    }

    private static bool ReadImage(VpState* s, uint at, bool wide, Image* image)
    {
        *image = default;
        int size = wide ? 4 : 2;
        uint cursor = at + (wide ? 0x1Cu : 0x0Eu);
        ulong value;
        if (wide)
        {
            if (!LoadWord(s, cursor, 4, out value))
            {
                return false;
            }

            image->Cr3 = (uint)value;
            cursor += 4;
        }

        if (!LoadWord(s, cursor, size, out image->Rip) || !LoadWord(s, cursor + (uint)size, size, out image->Flags))
        {
            return false;
        }

        cursor += (uint)size * 2;
        for (int i = 0; i < 8; i++, cursor += (uint)size)
        {
            if (!LoadWord(s, cursor, size, out image->Gpr[i]))
            {
                return false;
            }
        }

        // ES, CS, SS, DS, then FS and GS in the 32-bit form only.
        for (int i = 0; i < (wide ? 6 : 4); i++, cursor += (uint)size)
        {
            if (!LoadWord(s, cursor, 2, out value))
            {
                return false;
            }

            image->Selectors[i] = (ushort)value;
        }

        if (!LoadWord(s, cursor, 2, out value))
        {
            return false;
        }

        image->Ldt = (ushort)value;
        if (wide && !LoadWord(s, at + 0x64, 2, out value))
        {
            return false;
        }

        image->Trap = wide && (value & 1) != 0;
        return true;
    }

    private static bool SaveOld(VpState* s, Reason reason, ulong nextRip, bool resumeFlag)
    {
        SegmentRegister* tr = VpState.Seg(s, Segment.Tr);
        bool wide = (tr->Attributes & 8) != 0;
        int size = wide ? 4 : 2;
        uint cursor = (uint)tr->Base + (wide ? 0x20u : 0x0Eu);
        ulong flags = Flags.Read(s) | (resumeFlag ? RFlag.RF : 0);
        if (reason == Reason.Return)
        {
            flags &= ~RFlag.NT;
        }

        if (!StoreWord(s, cursor, size, nextRip) || !StoreWord(s, cursor + (uint)size, size, flags))
        {
            return false;
        }

        cursor += (uint)size * 2;
        for (int i = 0; i < 8; i++, cursor += (uint)size)
        {
            if (!StoreWord(s, cursor, size, s->Gpr[i]))
            {
                return false;
            }
        }

        for (int i = 0; i < (wide ? 6 : 4); i++, cursor += (uint)size)
        {
            if (!StoreWord(s, cursor, 2, VpState.Seg(s, (Segment)i)->Selector))
            {
                return false;
            }
        }

        return reason is Reason.Call or Reason.Gate || SetBusy(s, tr->Selector, busy: false);
    }

    private static bool Commit(VpState* s, ushort selector, Descriptor tss, Reason reason, bool wide, Image* image)
    {
        SegmentRegister* tr = VpState.Seg(s, Segment.Tr);
        bool nested = reason is Reason.Call or Reason.Gate;
        if ((nested && !StoreWord(s, tss.Base32, 2, tr->Selector))
            || (reason != Reason.Return && !SetBusy(s, selector, busy: true)))
        {
            return false;
        }

        Segments.Fill(tr, selector, tss);
        tr->Attributes |= 2;
        s->Cr0 |= Cr0.TS;
        if (wide && (s->Cr0 & Cr0.PG) != 0)
        {
            s->Cr3 = image->Cr3;
            Vp.Of(s).Mmu.FlushNonGlobal();
        }

        for (int i = 0; i < 8; i++)
        {
            s->Gpr[i] = wide ? (uint)image->Gpr[i] : (s->Gpr[i] & 0xFFFF_0000) | (ushort)image->Gpr[i];
        }

        Flags.Write(s, (image->Flags & RFlag.Defined) | (nested ? RFlag.NT : 0));
        s->Rip = wide ? (uint)image->Rip : (ushort)image->Rip;
        s->Dr[7] &= ~0x155UL;
        bool loaded = LoadSegments(s, image);
        Segments.ContextChanged(s);
        if (loaded && image->Trap)
        {
            return Faults.RecordDebug(s, 1u << 15);
        }

        return loaded;
    }

    private static bool LoadSegments(VpState* s, Image* image)
    {
        for (int i = 0; i < 6; i++)
        {
            Segments.FillNull(VpState.Seg(s, (Segment)i), image->Selectors[i]);
        }

        // Faults from here on belong to the new task: RIP is its own already.
        uint cpl = image->Selectors[(int)Segment.Cs] & 3u;
        s->Cpl = cpl;
        if (!Segments.LoadLdt(s, image->Ldt, Vector.TS))
        {
            return false;
        }

        if (Segments.IsVirtual8086(s))
        {
            s->Cpl = 3;
            for (int i = 0; i < 6; i++)
            {
                Segments.FillVirtual(VpState.Seg(s, (Segment)i), image->Selectors[i]);
            }

            return true;
        }

        ushort selector = image->Selectors[(int)Segment.Cs];
        if (Segments.IsNull(selector))
        {
            return Faults.Record(s, Vector.TS, 0);
        }

        if (!Segments.Read(s, selector, Vector.TS, 0, out Descriptor code))
        {
            return false;
        }

        if (!code.IsCode || (code.IsConforming ? code.Dpl > cpl : code.Dpl != cpl))
        {
            return Faults.Record(s, Vector.TS, Segments.Error(selector, 0));
        }

        if (!code.Present)
        {
            return Faults.Record(s, Vector.NP, Segments.Error(selector, 0));
        }

        Segments.Fill(VpState.Seg(s, Segment.Cs), selector, code);
        selector = image->Selectors[(int)Segment.Ss];
        if (!Segments.LoadStack(s, selector, cpl, Vector.TS, 0, out Descriptor stack, out bool isNull))
        {
            return false;
        }

        Segments.CommitStack(s, selector, stack, isNull);
        return LoadDataSegment(s, Segment.Es, image) && LoadDataSegment(s, Segment.Ds, image)
            && LoadDataSegment(s, Segment.Fs, image) && LoadDataSegment(s, Segment.Gs, image);
    }

    private static bool LoadDataSegment(VpState* s, Segment segment, Image* image)
    {
        if (Segments.LoadData(s, segment, image->Selectors[(int)segment]))
        {
            return true;
        }

        PendingFault* fault = &EngineBlock.Of(s)->Fault;
        if (fault->Vector == Vector.GP)
        {
            fault->Vector = Vector.TS;
        }

        return false;
    }

    private static bool SetBusy(VpState* s, ushort selector, bool busy)
    {
        if (!Segments.Locate(s, selector, 8, out ulong linear))
        {
            return Faults.Record(s, Vector.TS, Segments.Error(selector, 0));
        }

        return GuestAccess.LoadSystem(s, linear + 5, out byte access)
            && GuestAccess.StoreSystem(s, linear + 5, (byte)(busy ? access | 2 : access & ~2));
    }

    private static bool LoadWord(VpState* s, uint linear, int bytes, out ulong value)
    {
        if (bytes == 2)
        {
            bool loaded = GuestAccess.LoadSystem(s, linear, out ushort word);
            value = word;
            return loaded;
        }
        else
        {
            bool loaded = GuestAccess.LoadSystem(s, linear, out uint dword);
            value = dword;
            return loaded;
        }
    }

    private static bool StoreWord(VpState* s, uint linear, int bytes, ulong value)
        => bytes == 2 ? GuestAccess.StoreSystem(s, linear, (ushort)value) : GuestAccess.StoreSystem(s, linear, (uint)value);

    /// <summary>The new task's registers, read once.</summary>
    private struct Image
    {
        public fixed ulong Gpr[8];
        public fixed ushort Selectors[6];
        public ulong Rip;
        public ulong Flags;
        public uint Cr3;
        public ushort Ldt;
        public bool Trap;
    }
}

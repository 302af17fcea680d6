// The XSAVE family for x87 and SSE state: Intel SDM Vol. 1, chapter 13.
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.Sse;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter.Fp.State;

internal static unsafe class Xsave
{
    private const ulong X87Component = 1;
    private const ulong SseComponent = 2;
    private const ulong Components = X87Component | SseComponent;
    private const ulong Compact = 1UL << 63;
    private const ulong Cr4OsXsave = 1UL << 18;
    private const int AreaBytes = 576;
    private const int HeaderOffset = 512;
    private const int MxcsrOffset = 24;

    private enum Form
    {
        Plain,
        Optimized,
        Compacted,
        Supervisor,
    }

    public static Op* Save(VpState* s, Op* op) => Save(s, op, wide: false, Form.Plain);

    public static Op* Save64(VpState* s, Op* op) => Save(s, op, wide: true, Form.Plain);

    public static Op* SaveOptimized(VpState* s, Op* op) => Save(s, op, wide: false, Form.Optimized);

    public static Op* SaveOptimized64(VpState* s, Op* op) => Save(s, op, wide: true, Form.Optimized);

    public static Op* SaveCompacted(VpState* s, Op* op) => Save(s, op, wide: false, Form.Compacted);

    public static Op* SaveCompacted64(VpState* s, Op* op) => Save(s, op, wide: true, Form.Compacted);

    public static Op* SaveSupervisor(VpState* s, Op* op) => Save(s, op, wide: false, Form.Supervisor);

    public static Op* SaveSupervisor64(VpState* s, Op* op) => Save(s, op, wide: true, Form.Supervisor);

    public static Op* Restore(VpState* s, Op* op) => Restore(s, op, wide: false, supervisor: false);

    public static Op* Restore64(VpState* s, Op* op) => Restore(s, op, wide: true, supervisor: false);

    public static Op* RestoreSupervisor(VpState* s, Op* op) => Restore(s, op, wide: false, supervisor: true);

    public static Op* RestoreSupervisor64(VpState* s, Op* op) => Restore(s, op, wide: true, supervisor: true);

    private static Op* Save(VpState* s, Op* op, bool wide, Form form)
    {
        if (!Reach(s, op, write: true, form == Form.Supervisor, out ulong linear))
        {
            return null;
        }

        bool compact = form >= Form.Compacted;
        ulong requested = Requested(s);
        ulong inUse = InUse(s);
        if (compact && s->Mxcsr != Mxcsr.Initial)
        {
            inUse |= SseComponent;
        }

        ulong written = form == Form.Plain ? requested : requested & inUse;
        byte* image = stackalloc byte[AreaBytes];
        ulong bits = requested & inUse;
        ulong layout = requested | Compact;
        if (!compact)
        {
            if (!GuestAccess.Load(s, linear + HeaderOffset, out ulong old))
            {
                return null;
            }

            bits |= old & ~requested;
        }

        *(ulong*)(image + HeaderOffset) = bits;
        *(ulong*)(image + HeaderOffset + 8) = layout;
        Fxsave.PutX87(s, image, wide);
        Fxsave.PutXmm(s, image);
        *(uint*)(image + MxcsrOffset) = s->Mxcsr;
        *(uint*)(image + MxcsrOffset + 4) = Mxcsr.Supported;

        // The header first: if the area cannot be written, that is where it will show.
        if (!Fxsave.StoreRange(s, linear, image, HeaderOffset, HeaderOffset + (compact ? 16 : 8)))
        {
            return null;
        }

        bool ok = (written & X87Component) == 0
            || (Fxsave.StoreRange(s, linear, image, 0, MxcsrOffset) && Fxsave.StoreRange(s, linear, image, 32, Fxsave.XmmOffset));
        ulong mxcsrOwner = compact || form == Form.Optimized ? written : requested;
        ok = ok && ((mxcsrOwner & SseComponent) == 0 || Fxsave.StoreRange(s, linear, image, MxcsrOffset, 32));
        ok = ok && ((written & SseComponent) == 0
            || Fxsave.StoreRange(s, linear, image, Fxsave.XmmOffset, Fxsave.XmmOffset + (16 * Fxsave.XmmCount(s))));
        return ok ? op + 1 : null;
    }

    private static Op* Restore(VpState* s, Op* op, bool wide, bool supervisor)
    {
        if (!Reach(s, op, write: false, supervisor, out ulong linear))
        {
            return null;
        }

        byte* image = stackalloc byte[AreaBytes];
        if (!Fxsave.LoadRange(s, linear, image, 0, AreaBytes))
        {
            return null;
        }

        ulong requested = Requested(s);
        ulong present = *(ulong*)(image + HeaderOffset);
        ulong layout = *(ulong*)(image + HeaderOffset + 8);
        bool compact = (layout & Compact) != 0;
        ulong offered = s->Xcr0 & Components;
        bool bad = compact
            ? ((layout & ~Compact) & ~offered) != 0 || (present & ~layout) != 0
            : supervisor || layout != 0 || (present & ~s->Xcr0) != 0;
        for (int i = compact ? 16 : 8; i < 64 && !bad; i += 8)
        {
            // The standard form checks bytes 8..23 only; the rest is reserved but ignored.
            bad = (compact || i < 24) && *(ulong*)(image + HeaderOffset + i) != 0;
        }

        uint mxcsr = *(uint*)(image + MxcsrOffset);
        bool loadMxcsr = (requested & SseComponent) != 0 && (!compact || (present & SseComponent) != 0);
        if (bad || (loadMxcsr && (mxcsr & ~Mxcsr.Supported) != 0))
        {
            return Faults.GeneralProtection(s, op);
        }

        if ((requested & X87Component) != 0)
        {
            if ((present & X87Component) != 0)
            {
                Fxsave.TakeX87(s, image, wide);
            }
            else
            {
                X87.X87State.Reset(s);
            }
        }

        if ((requested & SseComponent) != 0)
        {
            s->Mxcsr = loadMxcsr ? mxcsr : Mxcsr.Initial;
            if ((present & SseComponent) == 0)
            {
                new Span<byte>(image + Fxsave.XmmOffset, 256).Clear();
            }

            Fxsave.TakeXmm(s, image);
        }

        return op + 1;
    }

    private static ulong Requested(VpState* s)
        => (((ulong)(uint)s->Gpr[2] << 32) | (uint)s->Gpr[0]) & s->Xcr0 & Components;

    /// <summary>XINUSE: the components that are not in their initial configuration.</summary>
    private static ulong InUse(VpState* s)
    {
        Vector128<byte> any = default;
        for (int i = 0; i < 16; i++)
        {
            any |= *SseAccess.Xmm(s, i);
        }

        ulong result = any == default ? 0 : SseComponent;
        any = default;
        for (int i = 0; i < 8; i++)
        {
            any |= *(Vector128<byte>*)(s->X87 + (i * 16));
        }

        bool initial = any == default && s->Fcw == X87.X87State.InitialControl
            && (s->Fsw | s->Ftw | s->Fop) == 0 && (s->Fip | s->Fdp) == 0;
        return initial ? result : result | X87Component;
    }

    private static bool Reach(VpState* s, Op* op, bool write, bool supervisor, out ulong linear)
    {
        linear = 0;
        if ((s->Cr4 & Cr4OsXsave) == 0)
        {
            Faults.UndefinedOpcode(s, op);
            return false;
        }

        if ((s->Cr0 & SseAccess.Cr0Ts) != 0)
        {
            Faults.Raise(s, op, FpVector.DeviceNotAvailable);
            return false;
        }

        if (supervisor && s->Cpl != 0)
        {
            Faults.GeneralProtection(s, op);
            return false;
        }

        if (!Operand.Address(s, op, out linear, AreaBytes, write))
        {
            return false;
        }

        if ((linear & 63) != 0)
        {
            Faults.GeneralProtection(s, op);
            return false;
        }

        return true;
    }
}

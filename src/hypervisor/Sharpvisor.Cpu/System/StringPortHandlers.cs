// INS and OUTS, also repeated: Intel SDM Vol. 2. A repeated one moves as much as fits a page and 64 KiB of count in one
// intercept where the device has a fast path, and returns to the run loop between pages so that interrupts get their turn.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class StringPortHandlers
{
    /// <summary>Elements without a fast path that are done before the run loop looks at events.</summary>
    private const int MaxElements = 64;

    public static Op* Ins8(VpState* s, Op* op) => Move(s, op, 1, input: true);

    public static Op* Ins16(VpState* s, Op* op) => Move(s, op, 2, input: true);

    public static Op* Ins32(VpState* s, Op* op) => Move(s, op, 4, input: true);

    public static Op* Outs8(VpState* s, Op* op) => Move(s, op, 1, input: false);

    public static Op* Outs16(VpState* s, Op* op) => Move(s, op, 2, input: false);

    public static Op* Outs32(VpState* s, Op* op) => Move(s, op, 4, input: false);

    private static Op* Move(VpState* s, Op* op, int bytes, bool input)
    {
        ushort port = (ushort)s->Gpr[2];
        if (!PortHandlers.Allowed(s, port, bytes))
        {
            return null;
        }

        DebugRegisters.MatchIo(s, port, bytes);
        ulong mask = op->AddressBytes == 8 ? ulong.MaxValue : op->AddressBytes == 4 ? uint.MaxValue : ushort.MaxValue;
        if ((op->Flags & (OpFlags.Rep | OpFlags.Repne)) == 0)
        {
            return Element(s, op, port, bytes, input, mask) ? HandlerTools.EndBlock(s, op) : null;
        }

        s->Rip = HandlerTools.ThisRip(s, op);
        for (int i = 0; i < MaxElements && (s->Gpr[1] & mask) != 0; i++)
        {
            if (Burst(s, op, port, bytes, input, mask))
            {
                break;
            }

            if (!Element(s, op, port, bytes, input, mask))
            {
                return null;
            }

            Advance(s, 1, mask, 1, -1);
        }

        // Not finished: the same instruction again, after events were looked at.
        s->Rip = (s->Gpr[1] & mask) == 0 ? HandlerTools.NextRip(s, op) : HandlerTools.ThisRip(s, op);
        return null;
    }

    // A run of elements inside one page, upwards, over plain memory.
    private static bool Burst(VpState* s, Op* op, ushort port, int bytes, bool input, ulong mask)
    {
        int pointer = input ? 7 : 6;
        ulong offset = s->Gpr[pointer] & mask;
        if ((s->RFlags & RFlag.DF) != 0 || !Address(s, op, offset, bytes, input, out ulong linear))
        {
            EngineBlock.Of(s)->Fault = default;
            return false;
        }

        byte* host = input ? GuestAccess.WriteRun(s, linear, out int available) : GuestAccess.ReadRun(s, linear, out available);
        int count = (int)Math.Min((ulong)(available / bytes), s->Gpr[1] & mask);
        if (host == null || count <= 1
            || offset + ((ulong)count * (uint)bytes) - 1 > mask
            || !Address(s, op, offset + ((ulong)(count - 1) * (uint)bytes), bytes, input, out _))
        {
            EngineBlock.Of(s)->Fault = default;
            return false;
        }

        var span = new Span<byte>(host, count * bytes);
        IVpIntercepts intercepts = Vp.Of(s).Intercepts;
        int done = input ? intercepts.ReadPortString(port, bytes, span) : intercepts.WritePortString(port, bytes, span);
        done = Math.Clamp(done, 0, count);
        Advance(s, pointer, mask, bytes, done);
        Advance(s, 1, mask, 1, -done);
        return done > 0;
    }

    private static bool Element(VpState* s, Op* op, ushort port, int bytes, bool input, ulong mask)
    {
        int pointer = input ? 7 : 6;
        if (!Address(s, op, s->Gpr[pointer] & mask, bytes, input, out ulong linear))
        {
            return false;
        }

        IVpIntercepts intercepts = Vp.Of(s).Intercepts;
        if (input)
        {
            // The destination is checked before the device gives its data away.
            if (!Probe(s, linear, bytes) || !Store(s, linear, bytes, intercepts.ReadPort(port, bytes)))
            {
                return false;
            }
        }
        else
        {
            if (!Load(s, linear, bytes, out uint value))
            {
                return false;
            }

            intercepts.WritePort(port, bytes, value);
        }

        Advance(s, pointer, mask, bytes, (s->RFlags & RFlag.DF) != 0 ? -1 : 1);
        return true;
    }

    // INS writes to ES:rDI whatever the prefixes; OUTS reads DS:rSI with overrides.
    private static bool Address(VpState* s, Op* op, ulong offset, int bytes, bool input, out ulong linear)
        => Operand.Linear(s, op, input ? Segment.Es : (Segment)op->Segment, offset, (uint)bytes, input, out linear);

    private static bool Probe(VpState* s, ulong linear, int bytes) => bytes switch
    {
        1 => GuestAccess.LoadForWrite(s, linear, out byte _),
        2 => GuestAccess.LoadForWrite(s, linear, out ushort _),
        _ => GuestAccess.LoadForWrite(s, linear, out uint _),
    };

    private static bool Store(VpState* s, ulong linear, int bytes, uint value) => bytes switch
    {
        1 => GuestAccess.Store(s, linear, (byte)value),
        2 => GuestAccess.Store(s, linear, (ushort)value),
        _ => GuestAccess.Store(s, linear, value),
    };

    private static bool Load(VpState* s, ulong linear, int bytes, out uint value)
    {
        bool loaded;
        switch (bytes)
        {
            case 1:
                loaded = GuestAccess.Load(s, linear, out byte small);
                value = small;
                return loaded;
            case 2:
                loaded = GuestAccess.Load(s, linear, out ushort word);
                value = word;
                return loaded;
            default:
                return GuestAccess.Load(s, linear, out value);
        }
    }

    private static void Advance(VpState* s, int register, ulong mask, int bytes, int elements)
    {
        ulong next = s->Gpr[register] + (ulong)((long)bytes * elements);
        s->Gpr[register] = mask switch
        {
            ulong.MaxValue => next,
            uint.MaxValue => (uint)next,
            _ => (s->Gpr[register] & ~0xFFFFUL) | (ushort)next,
        };
    }
}

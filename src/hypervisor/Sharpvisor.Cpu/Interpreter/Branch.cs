// Near control transfers and the ways control leaves a block (Intel SDM Vol. 2: Jcc, JMP, CALL, RET, LOOP, JrCXZ).
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class Branch
{
    /// <summary>No handler, or an invalid encoding.</summary>
    public static Op* Undefined(VpState* s, Op* op) => Faults.UndefinedOpcode(s, op);

    /// <summary>More than 15 bytes (Intel SDM Vol. 2A, 2.3.11).</summary>
    public static Op* TooLong(VpState* s, Op* op) => Faults.GeneralProtection(s, op);

    /// <summary>Not an instruction: the block is at its end, the code goes on.</summary>
    public static Op* Continue(VpState* s, Op* op) => Jump(s, op, s->Gpr[17] + op->PageOffset);

    /// <summary>Not an instruction: replaces the ops of a block whose bytes were just overwritten.</summary>
    public static Op* Resynchronise(VpState* s, Op* op)
    {
        s->Rip = s->Gpr[17] + op->PageOffset;
        return null;
    }

    /// <summary>Virtual address after the instruction.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Next(VpState* s, Op* op) => s->Gpr[17] + op->PageOffset + op->Length;

    /// <summary>A taken direct branch in 64-bit mode: chained within the page, through the jump cache otherwise.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Op* Taken(VpState* s, Op* op)
    {
        Block* target = (Block*)op->Target;
        if (target != null && s->PendingEvents == 0 && *target->GenerationAddress == target->Generation)
        {
            LazyFlags* lazy = Flags.Lazy(s);
            lazy->Instructions += op->Index16;
            lazy->CurrentBlock = target;
            return Block.First(target);
        }

        return TakenSlow(s, op);
    }

    /// <summary>Continues at any RIP in the current mode.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Op* Jump(VpState* s, Op* op, ulong rip)
    {
        EngineBlock* engine = EngineBlock.Of(s);
        if ((op->Flags & OpFlags.Long) != 0)
        {
            JumpEntry* entry = Vp.JumpSlot(&engine->Lazy, rip);
            if (entry->Rip == rip && entry->Tag == Vp.JumpTag(engine))
            {
                Block* block = entry->Block;
                if (s->PendingEvents == 0 && *block->GenerationAddress == block->Generation)
                {
                    s->Gpr[17] = rip & ~0xFFFUL;
                    engine->Lazy.Instructions += op->Index16;
                    engine->Lazy.CurrentBlock = block;
                    return Block.First(block);
                }
            }
        }

        s->Rip = rip;
        return null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Op* TakenSlow(VpState* s, Op* op)
    {
        Op* from = op;
        ulong pageBase = s->Gpr[17];
        op->Target = null;
        Op* first = Jump(s, op, pageBase + (ulong)op->Immediate);

        // Chain only within the page: the same physical page and generation counter as this block's.
        if (first != null && s->Gpr[17] == pageBase)
        {
            from->Target = first - 1;
        }

        return first;
    }

    public static Op* JmpShort64(VpState* s, Op* op) => Taken(s, op);

    public static Op* JmpNear16(VpState* s, Op* op) => Jump(s, op, (ushort)(s->Gpr[17] + (ulong)op->Immediate));

    public static Op* JmpNear32(VpState* s, Op* op) => Jump(s, op, (uint)(s->Gpr[17] + (ulong)op->Immediate));

    public static Op* CallNear64(VpState* s, Op* op)
    {
        ulong rsp = s->Gpr[4] - 8;
        if (!GuestAccess.Store(s, rsp, Next(s, op)))
        {
            _ = Faults.StackAccess(s);
            return null;
        }

        s->Gpr[4] = rsp;
        return Taken(s, op);
    }

    public static Op* CallNear<T>(VpState* s, Op* op)
        where T : unmanaged =>
        Stack.Push<T>(s, op, Next(s, op)) ? Jump(s, op, Sized<T>.Zx(s->Gpr[17] + (ulong)op->Immediate)) : null;

    public static Op* JmpIndirect<T>(VpState* s, Op* op)
        where T : unmanaged =>
        !Sized<T>.LoadFirst(s, op, out ulong target) ? null
        : !Canonical(target) ? Faults.GeneralProtection(s, op)
        : Jump(s, op, target);

    public static Op* CallIndirect<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (!Sized<T>.LoadFirst(s, op, out ulong target))
        {
            return null;
        }

        if (!Canonical(target))
        {
            return Faults.GeneralProtection(s, op);
        }

        return Stack.Push<T>(s, op, Next(s, op)) ? Jump(s, op, target) : null;
    }

    public static Op* Ret64(VpState* s, Op* op)
    {
        ulong rsp = s->Gpr[4];
        if (!GuestAccess.Load(s, rsp, out ulong target))
        {
            _ = Faults.StackAccess(s);
            return null;
        }

        if (!Canonical(target))
        {
            return Faults.GeneralProtection(s, op);
        }

        s->Gpr[4] = rsp + 8 + (ushort)op->Immediate;
        return Jump(s, op, target);
    }

    public static Op* Ret<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (!Stack.Top<T>(s, op, 0, out ulong target))
        {
            return null;
        }

        Stack.Release(s, op, (ulong)sizeof(T) + (ushort)op->Immediate);
        return Jump(s, op, target);
    }

    public static Op* Jcc64<TCondition>(VpState* s, Op* op)
        where TCondition : struct, ICondition =>
        TCondition.Holds(s) ? Taken(s, op) : op + 1;

    public static Op* Jcc32<TCondition>(VpState* s, Op* op)
        where TCondition : struct, ICondition =>
        TCondition.Holds(s) ? JmpNear32(s, op) : op + 1;

    public static Op* Jcc16<TCondition>(VpState* s, Op* op)
        where TCondition : struct, ICondition =>
        TCondition.Holds(s) ? JmpNear16(s, op) : op + 1;

    /// <summary>JCXZ, JECXZ, JRCXZ; T: address size, TTarget: operand size.</summary>
    public static Op* Jcxz<T, TTarget>(VpState* s, Op* op)
        where T : unmanaged
        where TTarget : unmanaged =>
        Sized<T>.Get(s, 1) == 0 ? Near<TTarget>(s, op) : op + 1;

    /// <summary>LOOP (kind 0), LOOPE (1), LOOPNE (2).</summary>
    public static Op* Loop<T, TTarget, TKind>(VpState* s, Op* op)
        where T : unmanaged
        where TTarget : unmanaged
        where TKind : struct, ICondition
    {
        ulong count = Sized<T>.Zx(Sized<T>.Get(s, 1) - 1);
        Sized<T>.Set(s, 1, count);
        return count != 0 && TKind.Holds(s) ? Near<TTarget>(s, op) : op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* Near<TTarget>(VpState* s, Op* op)
        where TTarget : unmanaged =>
        sizeof(TTarget) == 8 ? Taken(s, op) : sizeof(TTarget) == 4 ? JmpNear32(s, op) : JmpNear16(s, op);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Canonical(ulong rip) => (rip + 0x8000_0000_0000UL) >> 48 == 0;
}

// Control transfers: bound jumps within a page, jump cache lookups for everything else.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.Translator;

internal sealed unsafe partial class BlockTranslator
{
    private static bool InPage(long offset) => (ulong)offset < 4096;

    /// <summary>The block ends without a branch.</summary>
    private bool EmitContinue(Op* op)
    {
        SaveFlags();
        if (InPage(op->PageOffset))
        {
            AddCold(Cold.Link, _e.Jump(), op);
            return true;
        }

        _e.RegMem(0x8B, 8, Host.Address, Host.Rsp, Host.PageBase);
        _e.RegMem(0x8D, 8, Host.Address, Host.Address, op->PageOffset);
        EmitLookup();
        EmitJumpToFound();
        return true;
    }

    private bool EmitJcc(Op* op, int condition)
    {
        if (op->Immediate != (int)op->Immediate)
        {
            return false;
        }

        NeedFlags();
        SaveFlags();
        AddCold(InPage(op->Immediate) ? Cold.Link : Cold.Lookup, _e.JumpIf(condition), op);

        // Not taken: count up to the next branch, by instructions that leave the flags alone if those are needed soon.
        int more = (int)op[1].Heat - op->Index16;
        if (more != 0 && NativeForm.Of(op[1].Code).Kind is not (NativeKind.Jcc or NativeKind.SetCc or NativeKind.CmovCc))
        {
            _e.RegMem(0x83, 8, 0, Host.Rsp, Host.Instructions);
            _e.Byte(more);
            _flags = FlagsIn.Ax;
        }
        else if (more != 0)
        {
            _e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Host.Instructions);
            _e.RegMem(0x8D, 8, Host.Value, Host.Value, more);
            _e.RegMem(0x89, 8, Host.Value, Host.Rsp, Host.Instructions);
        }

        return true;
    }

    private bool EmitJmp(Op* op)
    {
        SaveFlags();
        if (InPage(op->Immediate))
        {
            AddCold(Cold.Link, _e.Jump(), op);
            return true;
        }

        if (op->Immediate != (int)op->Immediate)
        {
            return false;
        }

        EmitTargetAddress(op);
        EmitLookup();
        EmitJumpToFound();
        return true;
    }

    private bool EmitCall(Op* op)
    {
        if (op->Immediate != (int)op->Immediate)
        {
            return false;
        }

        SaveFlags();
        if (InPage(op->Immediate))
        {
            EmitPushAddress();
            EmitStoreReturnAddress(op);
            CommitRsp(-8);
            AddCold(Cold.LinkCall, _e.Jump(), op);
            return true;
        }

        EmitTargetAddress(op);
        EmitCallTo(op);
        return true;
    }

    private bool EmitJmpIndirect(Op* op)
    {
        if (!EmitTargetOperand(op))
        {
            return false;
        }

        EmitLookup();
        EmitJumpToFound();
        return true;
    }

    private bool EmitCallIndirect(Op* op)
    {
        if (!EmitTargetOperand(op))
        {
            return false;
        }

        EmitCallTo(op);
        return true;
    }

    private bool EmitRet(Op* op)
    {
        EmitTopAddress();
        _e.RegMem(0x8B, 8, Host.Address, Host.Address, 0);
        EmitLookup();
        CommitRsp(8 + (ushort)op->Immediate);
        EmitJumpToFound();
        return true;
    }

    /// <summary>The operand of an indirect jump or call, into <see cref="Host.Address"/>.</summary>
    private bool EmitTargetOperand(Op* op)
    {
        if ((op->Flags & OpFlags.Memory) != 0)
        {
            if (!EmitAddress(op, 8, write: false))
            {
                return false;
            }

            _e.RegMem(0x8B, 8, Host.Address, Host.Address, 0);
            return true;
        }

        SaveFlags();
        int source = Get(op->Dst, Host.Address);
        if (source != Host.Address)
        {
            _e.RegReg(0x89, 8, source, Host.Address);
        }

        return true;
    }

    /// <summary>
    /// Finds the target first and pushes last: as long as anything can still send us to the interpreter, nothing has changed.
    /// </summary>
    private void EmitCallTo(Op* op)
    {
        EmitLookup();
        _e.RegMem(0x89, 8, Host.Value, Host.Rsp, Host.Scratch);
        EmitPushAddress();
        EmitStoreReturnAddress(op);
        CommitRsp(-8);
        _e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Host.Scratch);
        EmitJumpToFound();
    }

    private void EmitStoreReturnAddress(Op* op)
    {
        _e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Host.PageBase);
        _e.RegMem(0x8D, 8, Host.Value, Host.Value, op->PageOffset + op->Length);
        _e.RegMem(0x89, 8, Host.Value, Host.Address, 0);
    }

    private void EmitTargetAddress(Op* op)
    {
        _e.RegMem(0x8B, 8, Host.Address, Host.Rsp, Host.PageBase);
        _e.RegMem(0x8D, 8, Host.Address, Host.Address, (int)op->Immediate);
    }

    /// <summary>
    /// From a RIP in <see cref="Host.Address"/> to its <see cref="NativeJump"/> in <see cref="Host.Value"/>; when there is none, or
    /// the page is no longer known to be the one it was found on, the interpreter does the instruction. Flags must have been saved.
    /// </summary>
    private void EmitLookup()
    {
        StateOffsets o = StateOffsets.Instance;
        int start = _e.Position;
        EmitRotate(Host.Address, Host.Value, 12);
        _e.RegReg(0x31, 4, Host.Address, Host.Value);
        _e.RegReg(0x81, 4, 4, Host.Value);
        _e.Int32(NativeJump.Entries - 1);
        _e.RegReg(0xC1, 4, 4, Host.Value);
        _e.Byte(5);
        _e.RegMem(0x03, 8, Host.Value, Host.Rsp, Host.JumpCache);
        _e.RegMem(0x3B, 8, Host.Address, Host.Value, o.JumpRip);
        int first = _e.ShortJumpIf(4);
        _e.RegReg(0x83, 8, 6, Host.Value);
        _e.Byte(sizeof(NativeJump));
        _e.RegMem(0x3B, 8, Host.Address, Host.Value, o.JumpRip);
        AddCold(Cold.Exit, _e.JumpIf(5), _op);
        _e.BindShort(first);
        EmitSlot(Host.Address, Host.Address);
        GsPrefix();
        _e.RegMem(0x8B, 8, Host.Address, Host.Address, o.CodeKey);
        _e.RegMem(0x3B, 8, Host.Address, Host.Value, o.JumpKey);
        AddCold(Cold.Exit, _e.JumpIf(5), _op);
        LookupBytes += _e.Position - start;
        _flags = FlagsIn.Ax;
    }

    private void EmitJumpToFound()
    {
        StateOffsets o = StateOffsets.Instance;
        _e.RegMem(0x8B, 8, Host.Address, Host.Value, o.JumpPageBase);
        _e.RegMem(0x89, 8, Host.Address, Host.Rsp, Host.PageBase);
        _e.RegMem(0xFF, 4, 4, Host.Value, o.JumpNative);
    }
}

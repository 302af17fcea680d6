// Guest memory from translated code: effective address, inline TLB check, pushes and pops.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.Translator;

internal sealed unsafe partial class BlockTranslator
{
    /// <summary>What the inline path can address: 64-bit addresses, flat or relative to FS or GS.</summary>
    private static bool Addressable(Op* op) =>
        ((op->Flags & OpFlags.Flat) != 0 || (op->AddressBytes == 8 && op->Segment is (byte)Segment.Fs or (byte)Segment.Gs))
        && op->Displacement == (int)op->Displacement;

    /// <summary>Leaves the host address of the op's memory operand in <see cref="Host.Address"/>; uses <see cref="Host.Value"/>.</summary>
    /// <returns>False: not addressable; nothing was emitted.</returns>
    private bool EmitAddress(Op* op, int bytes, bool write, bool aligned = false)
    {
        if (!Addressable(op))
        {
            return false;
        }

        SaveFlags();
        EmitLinear(op);
        EmitTranslate(bytes, write, aligned);
        return true;
    }

    /// <summary>The linear address, into <see cref="Host.Address"/>; destroys RFLAGS.</summary>
    private void EmitLinear(Op* op)
    {
        EmitEffective(op, Host.Address);
        if ((op->Flags & OpFlags.Flat) == 0)
        {
            int slot = op->Segment == (byte)Segment.Fs ? Host.FsBase : Host.GsBase;
            _e.RegMem(0x03, 8, Host.Address, Host.Rsp, slot);
        }
    }

    /// <summary>The effective address, into a host register that is not the base's. Flags stay.</summary>
    private void EmitEffective(Op* op, int into)
    {
        int displacement = (int)op->Displacement;
        int b = -1;
        if (op->Base == 17)
        {
            _e.RegMem(0x8B, 8, Host.Address, Host.Rsp, Host.PageBase);
            b = Host.Address;
        }
        else if (op->Base < 16)
        {
            b = Get(op->Base, Host.Address);
        }

        if (op->Index < 16)
        {
            int index = Get(op->Index, Host.Value);
            _e.RegMem(0x8D, 8, into, b, index, op->Scale, displacement);
        }
        else if (b < 0)
        {
            _e.MovImmediate(into, (ulong)(long)displacement);
        }
        else if (b != into || displacement != 0)
        {
            _e.RegMem(0x8D, 8, into, b, displacement);
        }
    }

    /// <summary>A slot's byte offset, or with GS not in use its address, from an address.</summary>
    private void EmitSlot(int from, int into)
    {
        EmitRotate(from, into, 7);
        _e.RegReg(0x81, 4, 4, into);
        _e.Int32((int)TlbSet.OffsetMask);
        if (!HostFeatures.GsBase)
        {
            _e.RegMem(0x03, 8, into, Host.Rsp, Host.Tlb);
        }
    }

    /// <summary>The low half shifted right; the bits that come in on the left are the caller's to mask.</summary>
    private void EmitRotate(int from, int into, int count)
    {
        if (HostFeatures.Bmi2)
        {
            // RORX r32, r32, imm8: VEX.LZ.F2.0F3A.W0 F0 /r ib; both registers are R8 or above or below in any mix.
            _e.Bytes([0xC4, (byte)((into >= 8 ? 0 : 0x80) | 0x40 | (from >= 8 ? 0 : 0x20) | 3), 0x7B, 0xF0]);
            _e.Byte(0xC0 | ((into & 7) << 3) | (from & 7));
            _e.Byte(count);
            return;
        }

        if (from != into)
        {
            _e.RegReg(0x89, 4, from, into);
        }

        _e.RegReg(0xC1, 4, 5, into);
        _e.Byte(count);
    }

    private void GsPrefix()
    {
        if (HostFeatures.GsBase)
        {
            _e.Byte(0x65);
        }
    }

    /// <summary>
    /// Linear to host address in <see cref="Host.Address"/>. The tag's page XOR the address is the offset in the page on a hit,
    /// and larger than any that leaves room for the operand on a miss: the interpreter then does the whole instruction.
    /// </summary>
    private void EmitTranslate(int bytes, bool write, bool aligned = false)
    {
        StateOffsets o = StateOffsets.Instance;
        int tag = write ? o.WriteTag : o.ReadTag;
        int start = _e.Position;
        EmitSlot(Host.Address, Host.Value);
        GsPrefix();
        _e.RegMem(0x33, 8, Host.Address, Host.Value, tag);
        if (aligned)
        {
            // All but bits 4 to 11: a miss, or not a multiple of 16.
            _e.RegReg(0xF7, 8, 0, Host.Address);
            _e.Int32(~0xFF0);
            AddCold(Cold.Exit, _e.JumpIf(5), _op);
        }
        else
        {
            _e.RegReg(0x81, 8, 7, Host.Address);
            _e.Int32(4096 - bytes);
            AddCold(Cold.Exit, _e.JumpIf(7), _op);
        }

        GsPrefix();
        _e.RegMem(0x03, 8, Host.Address, Host.Value, o.HostPage);
        TlbBytes += _e.Position - start;
        _flags = FlagsIn.Ax;
    }

    /// <summary>The host address of the new top of the stack; RSP is moved by <see cref="CommitRsp"/>.</summary>
    private void EmitPushAddress()
    {
        SaveFlags();
        _e.RegMem(0x8D, 8, Host.Address, Host.GuestRsp, -8);
        EmitTranslate(8, write: true);
    }

    /// <summary>The host address of the top of the stack.</summary>
    private void EmitTopAddress()
    {
        SaveFlags();
        _e.RegReg(0x89, 8, Host.GuestRsp, Host.Address);
        EmitTranslate(8, write: false);
    }

    private void CommitRsp(int delta) => _e.RegMem(0x8D, 8, Host.GuestRsp, Host.GuestRsp, delta);

    private bool EmitPushReg(Op* op)
    {
        EmitPushAddress();
        int value = Get(op->Dst, Host.Value);
        _e.RegMem(0x89, 8, value, Host.Address, 0);
        CommitRsp(-8);
        return true;
    }

    private bool EmitPushImm(Op* op)
    {
        EmitPushAddress();
        _e.RegMem(0xC7, 8, 0, Host.Address, 0);
        _e.Int32((int)op->Immediate);
        CommitRsp(-8);
        return true;
    }

    private bool EmitPushRm(Op* op)
    {
        if ((op->Flags & OpFlags.Memory) == 0)
        {
            return EmitPushReg(op);
        }

        if (!EmitAddress(op, 8, write: false))
        {
            return false;
        }

        _e.RegMem(0x8B, 8, Host.Value, Host.Address, 0);
        _e.RegMem(0x89, 8, Host.Value, Host.Rsp, Host.Scratch);
        EmitPushAddress();
        _e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Host.Scratch);
        _e.RegMem(0x89, 8, Host.Value, Host.Address, 0);
        CommitRsp(-8);
        return true;
    }

    private bool EmitPopReg(Op* op)
    {
        EmitTopAddress();
        int target = Target(op->Dst, Host.Value);
        _e.RegMem(0x8B, 8, target, Host.Address, 0);
        Put(op->Dst, target);
        if (op->Dst != Host.Rsp)
        {
            CommitRsp(8);
        }

        return true;
    }

    private bool EmitLeave()
    {
        SaveFlags();
        _e.RegReg(0x89, 8, Host.Rbp, Host.Address);
        EmitTranslate(8, write: false);
        _e.RegMem(0x8D, 8, Host.GuestRsp, Host.Rbp, 8);
        _e.RegMem(0x8B, 8, Host.Rbp, Host.Address, 0);
        return true;
    }
}

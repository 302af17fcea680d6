// Pushes and pops whose effect on RSP is committed at the end, so that a fault half way leaves the registers unchanged.
// Stack address size: Intel SDM Vol. 1, 6.2.3; limit checks: Vol. 3A, 5.3.
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

/// <summary>A cursor on a stack: the current one, or one that is about to become current.</summary>
internal unsafe ref struct StackFrame
{
    private readonly VpState* _s;
    private readonly SegmentRegister _segment;
    private readonly ulong _mask;
    private readonly bool _long;
    private readonly uint _error;
    private ulong _pointer;

    /// <summary>The current stack.</summary>
    public StackFrame(VpState* s)
        : this(s, *VpState.Seg(s, Segment.Ss), s->Gpr[4], 0)
    {
    }

    /// <param name="s">Whose CPL makes the accesses.</param>
    /// <param name="segment">The stack segment, checked already.</param>
    /// <param name="pointer">Its stack pointer.</param>
    /// <param name="error">Of #SS: zero on the current stack, its selector and EXT on a new one.</param>
    public StackFrame(VpState* s, SegmentRegister segment, ulong pointer, uint error)
    {
        _error = error;
        _s = s;
        _segment = segment;
        _long = Segments.Is64Bit(s);
        _mask = _long ? ulong.MaxValue : (segment.Attributes & SegAttr.Big) != 0 ? 0xFFFF_FFFF : 0xFFFF;
        _pointer = pointer;
    }

    public readonly ulong Pointer => _pointer;

    /// <summary>Pushes 2, 4 or 8 bytes. False: a fault was recorded.</summary>
    public bool Push(int bytes, ulong value)
    {
        ulong next = Move(_pointer, -bytes);
        if (!Linear(next, bytes, out ulong linear))
        {
            return false;
        }

        bool stored = bytes switch
        {
            2 => GuestAccess.Store(_s, linear, (ushort)value),
            4 => GuestAccess.Store(_s, linear, (uint)value),
            _ => GuestAccess.Store(_s, linear, value),
        };
        if (stored)
        {
            _pointer = next;
        }

        return stored;
    }

    /// <summary>Pops 2, 4 or 8 bytes, zero-extended.</summary>
    public bool Pop(int bytes, out ulong value)
    {
        if (!Peek(bytes, 0, out value))
        {
            return false;
        }

        _pointer = Move(_pointer, bytes);
        return true;
    }

    /// <summary>Reads a slot above the stack pointer.</summary>
    public readonly bool Peek(int bytes, int offset, out ulong value)
    {
        value = 0;
        if (!Linear(Move(_pointer, offset), bytes, out ulong linear))
        {
            return false;
        }

        switch (bytes)
        {
            case 2:
                bool loaded = GuestAccess.Load(_s, linear, out ushort word);
                value = word;
                return loaded;
            case 4:
                loaded = GuestAccess.Load(_s, linear, out uint dword);
                value = dword;
                return loaded;
            default:
                return GuestAccess.Load(_s, linear, out value);
        }
    }

    /// <summary>Releases bytes without reading them (RET imm16).</summary>
    public void Skip(int bytes) => _pointer = Move(_pointer, bytes);

    /// <summary>Makes the cursor the VP's RSP.</summary>
    public readonly void Commit() => Write(_s, _pointer, _mask);

    private static void Write(VpState* s, ulong pointer, ulong mask)
        => s->Gpr[4] = mask == 0xFFFF ? (s->Gpr[4] & ~0xFFFFUL) | (pointer & 0xFFFF) : pointer & mask;

    private readonly ulong Move(ulong pointer, int bytes)
        => (pointer & ~_mask) | ((pointer + (ulong)(long)bytes) & _mask);

    private readonly bool Linear(ulong pointer, int bytes, out ulong linear)
    {
        ulong offset = pointer & _mask;
        if (_long)
        {
            linear = offset;
            return (Segments.IsCanonical(offset) && Segments.IsCanonical(offset + (uint)bytes - 1))
                || Faults.Record(_s, Vector.SS, _error);
        }

        linear = (uint)(_segment.Base + offset);
        ulong last = offset + (uint)bytes - 1;
        bool inside = (_segment.Attributes & (SegAttr.Code | SegAttr.ExpandDown)) == SegAttr.ExpandDown
            ? offset > _segment.Limit && last <= ((_segment.Attributes & SegAttr.Big) != 0 ? 0xFFFF_FFFF : 0xFFFFUL)
            : last <= _segment.Limit;
        return inside || Faults.Record(_s, Vector.SS, _error);
    }
}

// Writes host instructions, byte by byte (Intel SDM Vol. 2, 2.1 and 2.2: prefixes, ModRM, SIB, REX).
namespace Sharpvisor.Cpu.Translator;

/// <summary>A cursor into code memory. Opcodes are written as in the manual: 0x8B, 0x0FB6, 0x0F38F0.</summary>
internal sealed unsafe class Emitter(byte* writable)
{
    private readonly byte* _start = writable;
    private byte* _at = writable;

    /// <summary>Offset of the next byte from the start of code memory.</summary>
    public int Position
    {
        get => (int)(_at - _start);
        set => _at = _start + value;
    }

    public void Byte(int value) => *_at++ = (byte)value;

    public void Bytes(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(new Span<byte>(_at, bytes.Length));
        _at += bytes.Length;
    }

    public void Int32(int value)
    {
        *(int*)_at = value;
        _at += 4;
    }

    public void Int64(ulong value)
    {
        *(ulong*)_at = value;
        _at += 8;
    }

    /// <summary>An immediate of an instruction with this operand size: 8-byte ones take 4 bytes, sign-extended.</summary>
    public void Immediate(int bytes, long value)
    {
        switch (bytes)
        {
            case 1:
                Byte((int)value);
                break;
            case 2:
                *(short*)_at = (short)value;
                _at += 2;
                break;
            default:
                Int32((int)value);
                break;
        }
    }

    /// <summary>An instruction with a register (or opcode extension) and a register operand.</summary>
    /// <param name="bytes">Operand size.</param>
    public void RegReg(int opcode, int bytes, int reg, int rm)
    {
        Prefixes(bytes, ((reg >> 3) << 2) | (rm >> 3), bytes == 1);
        Opcode(opcode);
        Byte(0xC0 | ((reg & 7) << 3) | (rm & 7));
    }

    /// <summary>As <see cref="RegReg"/> where the second operand is a byte register whatever the operand size.</summary>
    public void RegByteReg(int opcode, int bytes, int reg, int rm)
    {
        Prefixes(bytes, ((reg >> 3) << 2) | (rm >> 3), force: true);
        Opcode(opcode);
        Byte(0xC0 | ((reg & 7) << 3) | (rm & 7));
    }

    /// <summary>An instruction with a register (or opcode extension) and memory at base + displacement.</summary>
    public void RegMem(int opcode, int bytes, int reg, int b, int displacement)
    {
        Prefixes(bytes, ((reg >> 3) << 2) | (b >> 3), bytes == 1);
        Opcode(opcode);
        int mod = displacement == 0 && (b & 7) != 5 ? 0 : displacement == (sbyte)displacement ? 1 : 2;
        Byte((mod << 6) | ((reg & 7) << 3) | (b & 7));
        if ((b & 7) == 4)
        {
            Byte(0x24);
        }

        Displacement(mod, displacement);
    }

    /// <summary>The same with base + index * 2^scale + displacement. A base of -1: none.</summary>
    public void RegMem(int opcode, int bytes, int reg, int b, int index, int scale, int displacement)
    {
        Prefixes(bytes, ((reg >> 3) << 2) | ((index >> 3) << 1) | (b < 0 ? 0 : b >> 3), bytes == 1);
        Opcode(opcode);
        int mod = b < 0 ? 0 : displacement == 0 && (b & 7) != 5 ? 0 : displacement == (sbyte)displacement ? 1 : 2;
        Byte((mod << 6) | ((reg & 7) << 3) | 4);
        Byte((scale << 6) | ((index & 7) << 3) | (b < 0 ? 5 : b & 7));
        Displacement(b < 0 ? 2 : mod, displacement);
    }

    public void MovImmediate(int reg, ulong value)
    {
        if (value <= uint.MaxValue)
        {
            Prefixes(4, reg >> 3, force: false);
            Byte(0xB8 | (reg & 7));
            Int32((int)value);
        }
        else if ((long)value == (int)value)
        {
            RegReg(0xC7, 8, 0, reg);
            Int32((int)value);
        }
        else
        {
            Prefixes(8, reg >> 3, force: false);
            Byte(0xB8 | (reg & 7));
            Int64(value);
        }
    }

    /// <summary>A jump whose target is known.</summary>
    public void Jump(int target)
    {
        Byte(0xE9);
        Int32(target - (Position + 4));
    }

    public void Call(int target)
    {
        Byte(0xE8);
        Int32(target - (Position + 4));
    }

    /// <summary>A jump to be bound later; returns the place of its displacement.</summary>
    public int Jump()
    {
        Byte(0xE9);
        Int32(0);
        return Position - 4;
    }

    /// <summary>A conditional jump to be bound later.</summary>
    public int JumpIf(int condition)
    {
        Byte(0x0F);
        Byte(0x80 | condition);
        Int32(0);
        return Position - 4;
    }

    /// <summary>A conditional jump over less than 128 bytes.</summary>
    public int ShortJumpIf(int condition)
    {
        Byte(0x70 | condition);
        Byte(0);
        return Position - 1;
    }

    /// <summary>Makes a short jump go here.</summary>
    public void BindShort(int site) => _start[site] = (byte)(Position - (site + 1));

    /// <summary>Makes a jump go to a position.</summary>
    public void Bind(int site, int target) => *(int*)(_start + site) = target - (site + 4);

    private void Prefixes(int bytes, int extension, bool force)
    {
        if (bytes == 2)
        {
            Byte(0x66);
        }

        int rex = extension | (bytes == 8 ? 8 : 0);
        if (rex != 0 || force)
        {
            Byte(0x40 | rex);
        }
    }

    private void Opcode(int opcode)
    {
        if (opcode > 0xFFFF)
        {
            Byte(opcode >> 16);
        }

        if (opcode > 0xFF)
        {
            Byte(opcode >> 8);
        }

        Byte(opcode);
    }

    private void Displacement(int mod, int displacement)
    {
        if (mod == 1)
        {
            Byte(displacement);
        }
        else if (mod == 2)
        {
            Int32(displacement);
        }
    }
}

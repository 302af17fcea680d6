// Segment and gate descriptors: Intel SDM Vol. 3A, 3.4.5, 3.5, 5.8.3, 6.11, 6.14.1.
namespace Sharpvisor.Cpu.System;

/// <summary>A descriptor read once from a table; High is the upper half of the 16-byte forms of long mode.</summary>
internal readonly record struct Descriptor(ulong Low, ulong High)
{
    public const int Tss16 = 1;
    public const int Ldt = 2;
    public const int Tss16Busy = 3;
    public const int CallGate16 = 4;
    public const int TaskGate = 5;
    public const int InterruptGate16 = 6;
    public const int TrapGate16 = 7;
    public const int Tss32 = 9;
    public const int Tss32Busy = 11;
    public const int CallGate32 = 12;
    public const int InterruptGate32 = 14;
    public const int TrapGate32 = 15;

    public int Type => (int)(Low >> 40) & 0xF;

    public bool IsSystem => (Low & (1UL << 44)) == 0;

    public int Dpl => (int)(Low >> 45) & 3;

    public bool Present => (Low & (1UL << 47)) != 0;

    public bool IsCode => !IsSystem && (Type & SegAttr.Code) != 0;

    public bool IsData => !IsSystem && (Type & SegAttr.Code) == 0;

    public bool IsConforming => IsCode && (Type & SegAttr.Conforming) != 0;

    public bool IsReadable => !IsSystem && ((Type & SegAttr.Code) == 0 || (Type & SegAttr.Readable) != 0);

    public bool IsWritableData => IsData && (Type & SegAttr.Writable) != 0;

    public bool IsLong => (Low & (1UL << 53)) != 0;

    public bool IsBig => (Low & (1UL << 54)) != 0;

    public uint Base32 => (uint)((Low >> 16) & 0xFF_FFFF) | (uint)(Low >> 32 & 0xFF00_0000);

    /// <summary>Base of a 16-byte system descriptor.</summary>
    public ulong Base64 => Base32 | (High << 32);

    /// <summary>In bytes: the last valid offset.</summary>
    public uint Limit
    {
        get
        {
            uint limit = (uint)(Low & 0xFFFF) | (uint)(Low >> 32 & 0xF_0000);
            return (Low & (1UL << 55)) != 0 ? (limit << 12) | 0xFFF : limit;
        }
    }

    /// <summary>As in <see cref="SegmentRegister.Attributes"/>.</summary>
    public ushort Attributes => (ushort)(((Low >> 40) & 0xFF) | ((Low >> 44) & 0xF00));

    public ushort GateSelector => (ushort)(Low >> 16);

    public uint GateOffset32 => (uint)(Low & 0xFFFF) | (uint)(Low >> 32 & 0xFFFF_0000);

    public ulong GateOffset64 => GateOffset32 | (High << 32);

    public ushort GateOffset16 => (ushort)Low;

    public int GateIst => (int)(Low >> 32) & 7;

    public int GateParameters => (int)(Low >> 32) & 0x1F;
}

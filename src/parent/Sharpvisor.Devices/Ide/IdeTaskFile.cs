// The command block registers of one drive. Each of five registers is two bytes deep: a write pushes the previous content
// down, where 48-bit commands find their high halves (ATA/ATAPI-7 6.20 and annex on 48-bit addressing).
namespace Sharpvisor.Devices.Ide;

/// <summary>A drive's copy of the task file. The low byte of a two-deep register is what was written last.</summary>
internal struct IdeTaskFile
{
    public ushort Features;
    public ushort Count;
    public ushort LbaLow;
    public ushort LbaMid;
    public ushort LbaHigh;
    public byte Device;

    public readonly bool UsesLba => (Device & 0x40) != 0;

    /// <summary>Bits 27..0 with LBA, from the low bytes.</summary>
    public readonly uint Lba28 => ((uint)(Device & 15) << 24) | ((uint)(byte)LbaHigh << 16) | ((uint)(byte)LbaMid << 8) | (byte)LbaLow;

    public readonly ulong Lba48 =>
        ((ulong)(LbaHigh >> 8) << 40) | ((ulong)(LbaMid >> 8) << 32) | ((ulong)(LbaLow >> 8) << 24)
        | ((ulong)(byte)LbaHigh << 16) | ((ulong)(byte)LbaMid << 8) | (byte)LbaLow;

    /// <summary>A guest's write to registers 1..6 of the command block.</summary>
    public void Write(int register, byte value)
    {
        switch (register)
        {
            case 1:
                Push(ref Features, value);
                break;
            case 2:
                Push(ref Count, value);
                break;
            case 3:
                Push(ref LbaLow, value);
                break;
            case 4:
                Push(ref LbaMid, value);
                break;
            case 5:
                Push(ref LbaHigh, value);
                break;
            default:
                // Bits 7 and 5 are obsolete and read as ones.
                Device = (byte)(value | 0xA0);
                break;
        }
    }

    /// <summary>A guest's read of registers 2..6; with HOB set, of the previous content.</summary>
    public readonly byte Read(int register, bool highOrder)
    {
        ushort value = register switch
        {
            2 => Count,
            3 => LbaLow,
            4 => LbaMid,
            5 => LbaHigh,
            _ => (ushort)(Device | (Device << 8)),
        };
        return (byte)(highOrder ? value >> 8 : value);
    }

    private static void Push(ref ushort register, byte value) => register = (ushort)((register << 8) | value);
}

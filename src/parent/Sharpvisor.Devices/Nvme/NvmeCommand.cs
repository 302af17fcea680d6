// A submission queue entry (NVMe 1.4, 4.2): 64 bytes, copied out of guest memory once.
using System.Runtime.InteropServices;

namespace Sharpvisor.Devices.Nvme;

[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct NvmeCommand
{
    public const int Bytes = 64;

    public byte Opcode;
    /// <summary>FUSE in bits 1..0, PSDT (0: PRPs) in bits 7..6.</summary>
    public byte Flags;
    public ushort Id;
    public uint Namespace;
    public uint Dword2;
    public uint Dword3;
    public ulong Metadata;
    public ulong Prp1;
    public ulong Prp2;
    public uint Dword10;
    public uint Dword11;
    public uint Dword12;
    public uint Dword13;
    public uint Dword14;
    public uint Dword15;

    /// <summary>Dwords 10 and 11 of NVM commands: the first block.</summary>
    public readonly ulong StartingLba => Dword10 | ((ulong)Dword11 << 32);

    /// <summary>NLB is zero-based.</summary>
    public readonly uint Blocks => (Dword12 & 0xFFFF) + 1;
}

// stub
namespace Sharpvisor.Cpu.System;

internal static class CpuModel
{
    public const int PhysicalAddressBits = 40;
    public const ulong ReservedPhysicalBits = 0x000F_FFFF_FFFF_FFFF & ~((1UL << PhysicalAddressBits) - 1);
}

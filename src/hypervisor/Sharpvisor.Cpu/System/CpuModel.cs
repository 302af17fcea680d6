// The CPU that guests see: CPUID (Intel SDM Vol. 2A, "CPUID") and what follows from it. Every feature bit offered is in this
// file, and each is implemented.
namespace Sharpvisor.Cpu.System;

/// <summary>
/// GenuineIntel family 5. Linux lists that family as in-order (NO_SPECULATION in cpu_vuln_whitelist,
/// arch/x86/kernel/cpu/common.c, 6.1 to 6.12): no bug flags, so no page table isolation, retpolines or buffer clearing. All
/// other capabilities are by feature bits, in Linux as in glibc.
/// </summary>
internal static unsafe class CpuModel
{
    public const int PhysicalAddressBits = 40;
    public const ulong ReservedPhysicalBits = 0x000F_FFFF_FFFF_FFFF & ~((1UL << PhysicalAddressBits) - 1);

    /// <summary>CR4 bits that may be set: those of offered features.</summary>
    public const ulong Cr4Allowed = Cr4.TSD | Cr4.DE | Cr4.PSE | Cr4.PAE | Cr4.MCE | Cr4.PGE | Cr4.PCE | Cr4.OSFXSR
        | Cr4.OSXMMEXCPT | Cr4.UMIP | Cr4.FSGSBASE | Cr4.PCIDE | Cr4.OSXSAVE | Cr4.SMEP | Cr4.SMAP;

    /// <summary>x87 and SSE.</summary>
    public const ulong Xcr0Allowed = 3;

    /// <summary>
    /// RDCL, SKIP_L1DFL_VMENTRY, SSB, MDS, PSCHANGE_MC, TAA, SBDR_SSDP, FBSDP, PSDP, BHI, PBRSB, GDS, RFDS, ITS: not
    /// vulnerable. Family 5 alone does not excuse ITLB_MULTIHIT; PSCHANGE_MC_NO does.
    /// </summary>
    public const ulong ArchCapabilities = 1 | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 8)
        | (1 << 13) | (1 << 14) | (1 << 15) | (1 << 20) | (1 << 24) | (1 << 26) | (1 << 27) | (1UL << 62);

    /// <summary>Family 5, model 4, stepping 3.</summary>
    private const uint Signature = 0x543;

    private const uint MaxBasic = 0x16;
    private const uint MaxExtended = 0x8000_0008;

    // Leaf 1 EDX.
    private const uint Fpu = 1 << 0;
    private const uint De = 1 << 2;
    private const uint Pse = 1 << 3;
    private const uint TscBit = 1 << 4;
    private const uint Msr = 1 << 5;
    private const uint Pae = 1 << 6;
    private const uint Mce = 1 << 7;
    private const uint Cx8 = 1 << 8;
    private const uint Apic = 1 << 9;
    private const uint Sep = 1 << 11;
    private const uint Mtrr = 1 << 12;
    private const uint Pge = 1 << 13;
    private const uint Mca = 1 << 14;
    private const uint Cmov = 1 << 15;
    private const uint PatBit = 1 << 16;
    private const uint Pse36 = 1 << 17;
    private const uint Clflush = 1 << 19;
    private const uint Mmx = 1 << 23;
    private const uint Fxsr = 1 << 24;
    private const uint Sse = 1 << 25;
    private const uint Sse2 = 1 << 26;
    private const uint Leaf1Edx = Fpu | De | Pse | TscBit | Msr | Pae | Mce | Cx8 | Apic | Sep | Mtrr | Pge | Mca | Cmov
        | PatBit | Pse36 | Clflush | Mmx | Fxsr | Sse | Sse2;

    // Leaf 1 ECX.
    private const uint Sse3 = 1 << 0;
    private const uint Pclmulqdq = 1 << 1;
    private const uint Ssse3 = 1 << 9;
    private const uint Cx16 = 1 << 13;
    private const uint Pcid = 1 << 17;
    private const uint Sse41 = 1 << 19;
    private const uint Sse42 = 1 << 20;
    private const uint Movbe = 1 << 22;
    private const uint Popcnt = 1 << 23;
    private const uint Aes = 1 << 25;
    private const uint Xsave = 1 << 26;
    private const uint OsXsave = 1 << 27;
    private const uint RdRand = 1 << 30;
    private const uint Leaf1Ecx = Sse3 | Pclmulqdq | Ssse3 | Cx16 | Pcid | Sse41 | Sse42 | Movbe | Popcnt | Aes | Xsave | RdRand;

    // Leaf 7 EBX, ECX, EDX.
    private const uint FsGsBase = 1 << 0;
    private const uint TscAdjustBit = 1 << 1;
    private const uint Bmi1 = 1 << 3;
    private const uint Smep = 1 << 7;
    private const uint Bmi2 = 1 << 8;
    private const uint Erms = 1 << 9;
    private const uint InvpcidBit = 1 << 10;
    private const uint RdSeed = 1 << 18;
    private const uint Adx = 1 << 19;
    private const uint Smap = 1 << 20;
    private const uint Leaf7Ebx = FsGsBase | TscAdjustBit | Bmi1 | Smep | Bmi2 | Erms | InvpcidBit | RdSeed | Adx | Smap;
    private const uint Umip = 1 << 2;
    private const uint RdPid = 1 << 22;
    private const uint Leaf7Ecx = Umip | RdPid;
    private const uint Fsrm = 1 << 4;
    private const uint ArchCap = 1 << 29;
    private const uint Leaf7Edx = Fsrm | ArchCap;

    // Leaf 0x80000001.
    private const uint LahfLm = 1 << 0;
    private const uint Abm = 1 << 5;
    private const uint Prefetchw = 1 << 8;
    private const uint ExtendedEcx = LahfLm | Abm | Prefetchw;
    private const uint SyscallBit = 1 << 11;
    private const uint Nx = 1 << 20;
    private const uint Page1Gb = 1 << 26;
    private const uint RdTscpBit = 1 << 27;
    private const uint Lm = 1 << 29;
    private const uint ExtendedEdx = SyscallBit | Nx | Page1Gb | RdTscpBit | Lm;

    // XSAVEOPT, XSAVEC, XGETBV with ECX = 1, XSAVES.
    private const uint XsaveFeatures = 0xF;
    private const uint XsaveBytes = 0x240;

    /// <summary>CPUID without topology, APIC ids and hypervisor leaves.</summary>
    public static CpuidResult Cpuid(VpState* s, uint leaf, uint subleaf)
    {
        if (leaf >= 0x8000_0000 && leaf <= MaxExtended)
        {
            return Extended(leaf);
        }

        switch (leaf)
        {
            case 0:
                return new CpuidResult(MaxBasic, 0x756E_6547, 0x6C65_746E, 0x4965_6E69);
            case 1:
                bool osXsave = (s->Cr4 & Cr4.OSXSAVE) != 0;
                // EBX: CLFLUSH line of 64 bytes; the hypervisor adds the APIC id.
                return new CpuidResult(Signature, 0x0000_0800, Leaf1Ecx | (osXsave ? OsXsave : 0), Leaf1Edx);
            case 2:
                // "See leaf 4": glibc's intel_check_word follows the 0xFF descriptor.
                return new CpuidResult(0x00FE_FF01, 0, 0, 0);
            case 4:
                return Caches(subleaf);
            case 7:
                return subleaf == 0 ? new CpuidResult(0, Leaf7Ebx, Leaf7Ecx, Leaf7Edx) : default;
            case 0xD:
                return XsaveLeaf(subleaf);
            case 0x15:
                // TSC = crystal * EBX / EAX: 200 MHz * 5. Linux takes the crystal as the APIC timer's input too.
                return new CpuidResult(1, 5, 200_000_000, 0);
            case 0x16:
                return new CpuidResult(1000, 1000, 200, 0);
            default:
                return default;
        }
    }

    private static CpuidResult Extended(uint leaf) => leaf switch
    {
        0x8000_0000 => new CpuidResult(MaxExtended, 0, 0, 0),
        0x8000_0001 => new CpuidResult(0, 0, ExtendedEcx, ExtendedEdx),
        // "Sharpvisor virtual CPU"
        0x8000_0002 => new CpuidResult(0x7261_6853, 0x7369_7670, 0x7620_726F, 0x7574_7269),
        0x8000_0003 => new CpuidResult(0x4320_6C61, 0x0000_5550, 0, 0),
        0x8000_0006 => new CpuidResult(0, 0, 0x0100_6040, 0),
        // Invariant TSC.
        0x8000_0007 => new CpuidResult(0, 0, 0, 1 << 8),
        0x8000_0008 => new CpuidResult(PhysicalAddressBits | (48 << 8), 0, 0, 0),
        _ => default,
    };

    // Sizes are for software that tunes itself: 32 KiB L1, 256 KiB L2, 8 MiB L3. EAX's sharing fields are the hypervisor's.
    private static CpuidResult Caches(uint subleaf) => subleaf switch
    {
        0 => new CpuidResult(0x0000_0121, 0x01C0_003F, 63, 0),
        1 => new CpuidResult(0x0000_0122, 0x01C0_003F, 63, 0),
        2 => new CpuidResult(0x0000_0143, 0x00C0_003F, 1023, 0),
        3 => new CpuidResult(0x0000_0163, 0x03C0_003F, 8191, 0),
        _ => default,
    };

    private static CpuidResult XsaveLeaf(uint subleaf) => subleaf switch
    {
        0 => new CpuidResult((uint)Xcr0Allowed, XsaveBytes, XsaveBytes, 0),
        1 => new CpuidResult(XsaveFeatures, XsaveBytes, 0, 0),
        _ => default,
    };
}

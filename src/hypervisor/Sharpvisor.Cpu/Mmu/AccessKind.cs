// Privilege of a data access, Intel SDM Vol. 3A, 4.6.1.
namespace Sharpvisor.Cpu.Mmu;

/// <summary>Who makes a data access.</summary>
internal enum AccessKind
{
    /// <summary>An instruction's explicit access, at the CPL.</summary>
    Data,
    /// <summary>The processor's implicit access to a system structure: supervisor, and SMAP applies whatever AC says.</summary>
    System,
}

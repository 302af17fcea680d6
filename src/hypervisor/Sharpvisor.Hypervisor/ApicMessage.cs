// One message on the APIC bus: an IPI, an MSI or an IOAPIC pin (Intel SDM Vol. 3A, 11.6 and 11.11).
namespace Sharpvisor.Hypervisor;

/// <summary>Delivery mode as encoded in ICR, LVT and MSI data.</summary>
internal enum DeliveryMode : byte
{
    Fixed = 0,
    LowestPriority = 1,
    Smi = 2,
    Nmi = 4,
    Init = 5,
    Startup = 6,
    ExtInt = 7,
}

/// <summary>Destination shorthand as encoded in ICR bits 19:18.</summary>
internal enum Shorthand : byte
{
    None = 0,
    Self = 1,
    AllIncludingSelf = 2,
    AllExcludingSelf = 3,
}

/// <param name="Vector">Vector, or the SIPI page.</param>
/// <param name="Mode">Delivery mode.</param>
/// <param name="Level">Level-triggered.</param>
/// <param name="Logical">Logical destination mode.</param>
/// <param name="Destination">Message destination address: 8 bits, or 32 when <paramref name="Wide"/>.</param>
/// <param name="Wide">The destination has x2APIC format.</param>
/// <param name="Shorthand">Overrides the destination.</param>
internal readonly record struct ApicMessage(
    byte Vector, DeliveryMode Mode, bool Level, bool Logical, uint Destination, bool Wide, Shorthand Shorthand);

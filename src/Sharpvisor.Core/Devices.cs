// The interfaces at which emulated devices meet the rest of the worker. A device never sees an engine.
namespace Sharpvisor.Core;

/// <summary>A device behind x86 I/O ports. Called on VP threads; implementations lock for themselves.</summary>
public interface IPortDevice
{
    /// <param name="port">Absolute port number.</param>
    /// <param name="bytes">1, 2 or 4.</param>
    uint ReadPort(ushort port, int bytes);

    /// <inheritdoc cref="ReadPort"/>
    void WritePort(ushort port, int bytes, uint value);
}

/// <summary>A device behind guest physical addresses. Called on VP threads; implementations lock for themselves.</summary>
public interface IMmioDevice
{
    /// <param name="offset">Bytes from the start of the mapped range.</param>
    /// <param name="bytes">1, 2, 4 or 8; never crosses the range's end.</param>
    ulong ReadMmio(ulong offset, int bytes);

    /// <inheritdoc cref="ReadMmio"/>
    void WriteMmio(ulong offset, int bytes, ulong value);
}

/// <summary>
/// An optional fast path for string I/O (<c>rep ins</c>, <c>rep outs</c>) on one port: whole runs instead of one intercept an element.
/// </summary>
public interface IStringPortDevice : IPortDevice
{
    /// <summary>Fills up to <paramref name="destination"/>.Length bytes as repeated reads would; returns the elements done (0: use single reads).</summary>
    int ReadPortString(ushort port, int bytes, Span<byte> destination);

    /// <summary>Consumes as repeated writes would; returns the elements done (0: use single writes).</summary>
    int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source);
}

/// <summary>Where devices put their registers. Changing it while VPs run is allowed (PCI BARs move).</summary>
public interface IDeviceBus
{
    void MapPorts(ushort first, int count, IPortDevice device);

    void UnmapPorts(ushort first, int count);

    /// <summary>Maps an MMIO range; the last mapping of an address wins.</summary>
    void MapMmio(ulong gpa, ulong bytes, IMmioDevice device);

    void UnmapMmio(ulong gpa, ulong bytes);
}

/// <summary>A level on a wire: true is asserted. Idempotent.</summary>
public interface IInterruptLine
{
    void Set(bool asserted);
}

/// <summary>What an IOAPIC pin or an MSI writes on the APIC bus (Intel SDM Vol. 3A, 11.11).</summary>
/// <param name="Address">0xFEExxxxx message address.</param>
/// <param name="Data">Message data: vector, delivery mode, trigger mode.</param>
public readonly record struct MsiMessage(ulong Address, uint Data);

/// <summary>The hypervisor's side of interrupts, as the chipset sees it.</summary>
public interface IApicBus
{
    void Deliver(MsiMessage message);

    /// <summary>The INTR wire of the PIC pair, connected to LINT0 of every local APIC (virtual wire mode).</summary>
    void SetExternalInterrupt(bool asserted);

    /// <summary>Raised when a level-triggered vector gets its EOI; the IOAPIC drops remote IRR. Argument: the vector.</summary>
    event Action<byte>? EndOfInterrupt;
}

/// <summary>The interrupt acknowledge cycle of the PIC pair, run by a local APIC in ExtINT mode.</summary>
public interface IExternalInterruptSource
{
    /// <returns>The vector the PIC presents (a spurious one if the request went away).</returns>
    byte AcknowledgeExternalInterrupt();
}

/// <summary>Something a device did that ends or resets the run.</summary>
public interface IPowerControl
{
    void PowerOff();

    void Reset();

    /// <summary>The test guests' exit port: ends the run with this exit status.</summary>
    void Exit(int status);
}

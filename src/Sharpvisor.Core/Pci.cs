// A PCI function whose bus is not the board's: where an emulated device (Devices) meets the vPCI VSP, and its interrupts the hypervisor.
namespace Sharpvisor.Core;

/// <summary>One PCI function. Thread-safe.</summary>
public interface IPciEndpoint
{
    /// <summary>Reads 1, 2 or 4 bytes of configuration space; beyond its end, zeros.</summary>
    uint ReadConfig(int offset, int bytes);

    /// <inheritdoc cref="ReadConfig"/>
    void WriteConfig(int offset, int bytes, uint value);

    /// <summary>Called once, before all else.</summary>
    /// <param name="bus">Where its base address registers go.</param>
    /// <param name="interrupt">Takes its message-signaled interrupts; any thread.</param>
    void Connect(IDeviceBus bus, Action<MsiMessage> interrupt);

    /// <summary>Back to power-on state; when it returns, nothing touches guest memory. Blocks for I/O under way.</summary>
    void PowerOff();
}

/// <summary>
/// The hypervisor's interrupt redirection table: devices are given messages that mean nothing in themselves, and the guest says with
/// HvCallRetargetInterrupt where each goes (TLFS, HV_INTERRUPT_ENTRY). Thread-safe.
/// </summary>
public interface IInterruptRedirection
{
    /// <summary>Makes a message for a device. False: the table is full, or the vector cannot be delivered.</summary>
    /// <param name="deviceId">The device's logical id, as the guest names it in the hypercall.</param>
    /// <param name="vector">The vector it raises until retargeted.</param>
    /// <param name="processors">A bit a VP; the first is interrupted.</param>
    /// <param name="message">What the device is to send.</param>
    bool TryMapInterrupt(ulong deviceId, byte vector, ulong processors, out MsiMessage message);

    void UnmapInterrupt(ulong deviceId, MsiMessage message);

    /// <summary>Takes all of a device's messages back.</summary>
    void UnmapInterrupts(ulong deviceId);

    /// <summary>The device sent a message; one that is not its own is dropped.</summary>
    void DeliverInterrupt(ulong deviceId, MsiMessage message);
}

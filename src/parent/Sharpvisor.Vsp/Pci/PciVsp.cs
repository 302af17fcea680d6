// The vPCI VSP: one PCI function on a bus of its own, behind a VMBus channel. The other end is drivers/pci/controller/pci-hyperv.c.
using Sharpvisor.Core;
using Sharpvisor.VMBus;

namespace Sharpvisor.Vsp.Pci;

/// <summary>A PCI bus with one function. Thread-safe.</summary>
public sealed class PciVsp : IVmbusDevice
{
    private const int BarCount = 6;
    private const int FirstBar = 0x10;
    private readonly IPciEndpoint _function;
    private readonly Lock _lock = new();
    private PciChannel? _channel;

    /// <param name="function">The function in slot 0.</param>
    /// <param name="index">Which bus of the VM: 0 to 255. Makes its instance, its PCI domain and its device id.</param>
    /// <param name="bus">Where the function's registers and the configuration window go.</param>
    /// <param name="interrupts">The hypervisor's table that its interrupts go through.</param>
    public PciVsp(IPciEndpoint function, int index, IDeviceBus bus, IInterruptRedirection interrupts)
    {
        ArgumentNullException.ThrowIfNull(function);
        ArgumentNullException.ThrowIfNull(bus);
        ArgumentNullException.ThrowIfNull(interrupts);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)index, 255u);
        _function = function;
        Bus = bus;
        Interrupts = interrupts;
        Index = index;

        // hv_pci_probe takes the PCI domain from bytes 4 and 5, hv_arch_irq_unmask the device id from bytes 4 to 7.
        var domain = (ushort)(0x5600 + index);
        Offer = new VmbusOffer
        {
            Name = $"pci{index}",
            InterfaceId = new("44c4f61d-4444-4400-9d52-802e27ede19f"),
            InstanceId = new(0x0A5D_0000 + (uint)index, domain, 0x10, 0x9C, 0x3E, 0x61, 0x4B, 0x5A, 0x1D, 0x20, 0x01),
        };
        DeviceId = ((uint)domain << 16) | 0x10;
        function.Connect(bus, message => Interrupts.DeliverInterrupt(DeviceId, message));
        for (int i = 0; i < BarCount; i++)
        {
            ProbedBars[i] = Probe(FirstBar + (4 * i));
        }
    }

    /// <inheritdoc/>
    public VmbusOffer Offer { get; }

    internal int Index { get; }

    /// <summary>The function's logical id in interrupt hypercalls.</summary>
    internal uint DeviceId { get; }

    internal IDeviceBus Bus { get; }

    internal IInterruptRedirection Interrupts { get; }

    internal IPciEndpoint Function => _function;

    /// <summary>What a guest would read after writing all ones.</summary>
    internal uint[] ProbedBars { get; } = new uint[BarCount];

    /// <inheritdoc/>
    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        var opened = new PciChannel(this);
        lock (_lock)
        {
            _channel = opened;
        }

        return opened;
    }

    /// <summary>Asks the guest to let go of the function.</summary>
    /// <returns>True when it has, or there is nobody to ask. False when it did not in time: take the function away all the same.</returns>
    public async Task<bool> EjectAsync(TimeSpan timeout)
    {
        PciChannel? channel;
        lock (_lock)
        {
            channel = _channel;
        }

        if (channel is null)
        {
            return true;
        }

        try
        {
            await channel.EjectAsync().WaitAsync(timeout);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    internal void ChannelClosed(PciChannel channel)
    {
        lock (_lock)
        {
            if (_channel == channel)
            {
                _channel = null;
            }
        }
    }

    private uint Probe(int offset)
    {
        _function.WriteConfig(offset, 4, uint.MaxValue);
        uint probed = _function.ReadConfig(offset, 4);
        _function.WriteConfig(offset, 4, 0);
        return probed;
    }
}

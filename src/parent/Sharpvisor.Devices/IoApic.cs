// The I/O APIC (Intel 82093AA datasheet, order number 290566), with the EOI register of version 0x20
// (Intel ICH data sheets, "EOIR"), which Linux uses from that version on (arch/x86/kernel/apic/io_apic.c).
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>24 interrupt pins that become messages on the APIC bus.</summary>
public sealed class IoApic : IMmioDevice
{
    public const int PinCount = 24;
    public const ulong BaseGpa = 0xFEC0_0000;
    public const ulong Bytes = 0x1000;

    private const uint VersionRegister = ((PinCount - 1) << 16) | 0x20;
    private const ulong Masked = 1 << 16;
    private const ulong LevelTriggered = 1 << 15;
    private const ulong RemoteIrr = 1 << 14;
    private const ulong Logical = 1 << 11;
    private const ulong WritableLow = 0x1_AFFF;
    private const ulong WritableHigh = 0xFF00_0000UL << 32;

    private readonly IApicBus _apicBus;
    private readonly ulong[] _redirection = new ulong[PinCount];
    private readonly Lock _lock = new();
    private uint _lines;
    private uint _id;
    private byte _select;

    internal IoApic(IDeviceBus bus, IApicBus apicBus)
    {
        _apicBus = apicBus;
        Array.Fill(_redirection, Masked);
        bus.MapMmio(BaseGpa, Bytes, this);
        apicBus.EndOfInterrupt += EndOfInterrupt;
    }

    public void Reset()
    {
        lock (_lock)
        {
            Array.Fill(_redirection, Masked);
            _id = 0;
            _select = 0;
        }
    }

    /// <summary>Drives a pin.</summary>
    public void SetPin(int pin, bool asserted)
    {
        MsiMessage message = default;
        bool deliver = false;
        lock (_lock)
        {
            uint bit = 1u << pin;
            bool rose = asserted && (_lines & bit) == 0;
            _lines = asserted ? _lines | bit : _lines & ~bit;
            ulong entry = _redirection[pin];
            if ((entry & LevelTriggered) != 0)
            {
                deliver = TryTakeLevel(pin, out message);
            }
            else if (rose && (entry & Masked) == 0)
            {
                message = MessageOf(entry);
                deliver = true;
            }
        }

        if (deliver)
        {
            _apicBus.Deliver(message);
        }
    }

    /// <inheritdoc/>
    public ulong ReadMmio(ulong offset, int bytes)
    {
        lock (_lock)
        {
            return (offset & ~3UL) switch
            {
                0x00 => _select,
                0x10 => ReadRegister(_select),
                _ => 0,
            };
        }
    }

    /// <inheritdoc/>
    public void WriteMmio(ulong offset, int bytes, ulong value)
    {
        switch (offset)
        {
            case 0x00:
                lock (_lock)
                {
                    _select = (byte)value;
                }

                break;
            case 0x10:
                WriteSelected((uint)value);
                break;
            case 0x40:
                EndOfInterrupt((byte)value);
                break;
            default:
                break;
        }
    }

    private uint ReadRegister(byte index)
    {
        switch (index)
        {
            case 0 or 2:
                return _id;
            case 1:
                return VersionRegister;
            default:
                int pin = (index - 0x10) >> 1;
                if (index < 0x10 || pin >= PinCount)
                {
                    return 0;
                }

                return (uint)((index & 1) == 0 ? _redirection[pin] : _redirection[pin] >> 32);
        }
    }

    private void WriteSelected(uint value)
    {
        MsiMessage message;
        lock (_lock)
        {
            int pin = (_select - 0x10) >> 1;
            if (_select == 0)
            {
                _id = value & 0x0F00_0000;
                return;
            }

            if (_select < 0x10 || pin >= PinCount)
            {
                return;
            }

            ulong entry = _redirection[pin];
            entry = (_select & 1) == 0
                ? (entry & ~WritableLow) | (value & WritableLow)
                : (entry & ~WritableHigh) | (((ulong)value << 32) & WritableHigh);
            if ((entry & LevelTriggered) == 0)
            {
                // Linux's __eoi_ioapic_pin clears a stuck remote IRR by switching to edge and back.
                entry &= ~RemoteIrr;
            }

            _redirection[pin] = entry;
            if (!TryTakeLevel(pin, out message))
            {
                return;
            }
        }

        _apicBus.Deliver(message);
    }

    /// <summary>A level-triggered vector was ended: pins with it may ask again.</summary>
    private void EndOfInterrupt(byte vector)
    {
        Span<MsiMessage> messages = stackalloc MsiMessage[PinCount];
        int count = 0;
        lock (_lock)
        {
            for (int pin = 0; pin < PinCount; pin++)
            {
                ulong entry = _redirection[pin];
                if ((byte)entry == vector && (entry & RemoteIrr) != 0)
                {
                    _redirection[pin] = entry & ~RemoteIrr;
                    if (TryTakeLevel(pin, out messages[count]))
                    {
                        count++;
                    }
                }
            }
        }

        foreach (MsiMessage message in messages[..count])
        {
            _apicBus.Deliver(message);
        }
    }

    private bool TryTakeLevel(int pin, out MsiMessage message)
    {
        ulong entry = _redirection[pin];
        bool asserted = (_lines & (1u << pin)) != 0;
        if (!asserted || (entry & (Masked | RemoteIrr | LevelTriggered)) != LevelTriggered)
        {
            message = default;
            return false;
        }

        _redirection[pin] = entry | RemoteIrr;
        message = MessageOf(entry);
        return true;
    }

    // Intel SDM Vol. 3A, 11.11: destination in address bits 19..12, destination mode in bit 2; vector, delivery mode,
    // level (assert) and trigger mode in the data.
    private static MsiMessage MessageOf(ulong entry) => new(
        0xFEE0_0000UL | ((entry >> 56) << 12) | ((entry & Logical) != 0 ? 4UL : 0),
        (uint)(entry & 0x7FF) | 0x4000u | (uint)(entry & LevelTriggered));
}

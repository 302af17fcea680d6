// Routes interrupt messages to local APICs: physical and logical destinations, lowest priority arbitration, shorthands
// (Intel SDM Vol. 3A, 11.6.2), MSIs (11.11) and the PIC's INTR wire.
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class ApicBus : IApicBus
{
    private readonly LocalApic[] _apics;
    private int _lowestPriorityStart;
    private int _externalLevel;

    public ApicBus(int count) => _apics = new LocalApic[count];

    /// <inheritdoc/>
    public event Action<byte>? EndOfInterrupt;

    /// <summary>The PIC pair; without one an ExtINT acknowledge finds nothing.</summary>
    public IExternalInterruptSource? ExternalInterrupts { get; set; }

    public bool ExternalInterruptAsserted => Volatile.Read(ref _externalLevel) != 0;

    public int Count => _apics.Length;

    public LocalApic this[int index] => _apics[index];

    public void Attach(LocalApic apic) => _apics[apic.Index] = apic;

    /// <inheritdoc/>
    public void Deliver(MsiMessage message)
    {
        var mode = (DeliveryMode)((message.Data >> 8) & 7);
        bool logical = (message.Address & 4) != 0;
        bool level = (message.Data & 0x8000) != 0;
        uint destination = (uint)(message.Address >> 12) & 0xFF;
        Deliver(new ApicMessage((byte)message.Data, mode, level, logical, destination, false, Shorthand.None), null);
    }

    /// <inheritdoc/>
    public void SetExternalInterrupt(bool asserted)
    {
        int old = Interlocked.Exchange(ref _externalLevel, asserted ? 1 : 0);
        if (asserted)
        {
            foreach (LocalApic apic in _apics)
            {
                apic.OnExternalInterrupt(rising: old == 0);
            }
        }
    }

    public byte AcknowledgeExternal(out bool present)
    {
        IExternalInterruptSource? source = ExternalInterrupts;
        present = source != null;
        return source?.AcknowledgeExternalInterrupt() ?? 0;
    }

    public void RaiseEndOfInterrupt(byte vector) => EndOfInterrupt?.Invoke(vector);

    /// <returns>False when no APIC accepts the destination.</returns>
    public bool Deliver(in ApicMessage message, LocalApic? source)
    {
        switch (message.Shorthand)
        {
            case Shorthand.Self:
                source!.Accept(message);
                return true;
            case Shorthand.AllIncludingSelf:
            case Shorthand.AllExcludingSelf:
                foreach (LocalApic apic in _apics)
                {
                    if (apic != source || message.Shorthand == Shorthand.AllIncludingSelf)
                    {
                        apic.Accept(message);
                    }
                }

                return true;
            default:
                return message.Mode == DeliveryMode.LowestPriority ? DeliverLowest(message) : DeliverMatching(message);
        }
    }

    private bool DeliverMatching(in ApicMessage message)
    {
        if (!message.Logical && message.Destination < (uint)_apics.Length && _apics[message.Destination].HasResetId)
        {
            _apics[message.Destination].Accept(message);
            return true;
        }

        bool found = false;
        foreach (LocalApic apic in _apics)
        {
            if (apic.Matches(message))
            {
                apic.Accept(message);
                found = true;
            }
        }

        return found;
    }

    private bool DeliverLowest(in ApicMessage message)
    {
        LocalApic? best = null;
        int start = Interlocked.Increment(ref _lowestPriorityStart) & int.MaxValue;
        for (int i = 0; i < _apics.Length; i++)
        {
            LocalApic apic = _apics[(start + i) % _apics.Length];
            if (apic.IsSoftwareEnabled && apic.Matches(message)
                && (best == null || apic.ArbitrationPriority < best.ArbitrationPriority))
            {
                best = apic;
            }
        }

        best?.Accept(message);
        return best != null;
    }
}

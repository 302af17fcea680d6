// The local APIC of one VP: acceptance, priority, acknowledge and EOI (Intel SDM Vol. 3A, 11.8 and 11.4).
// Any thread sets IRR bits; every register is written on the VP's own thread only, so no lock guards them.
using System.Numerics;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed partial class LocalApic
{
    public const ulong DefaultBase = 0xFEE0_0000;
    private const ulong BaseBsp = 1 << 8;
    private const ulong BaseX2 = 1 << 10;
    private const ulong BaseEnable = 1 << 11;
    private const uint LvtMasked = 1 << 16;
    private const uint SuppressEoiBroadcast = 1 << 12;
    private const uint EsrSendIllegal = 0x20;
    private const uint EsrReceiveIllegal = 0x40;

    private readonly ApicBus _bus;
    private readonly ILocalApicOwner _owner;
    private readonly uint[] _irr = new uint[8];
    private readonly uint[] _isr = new uint[8];
    private readonly uint[] _tmr = new uint[8];
    private readonly uint[] _autoEoi = new uint[8];
    private readonly uint[] _lvt = new uint[6];
    private readonly bool _isBsp;
    private ulong _apicBase;
    private uint _id;
    private uint _svr;
    private uint _tpr;
    private uint _ldr;
    private uint _dfr;
    private uint _esr;
    private uint _esrPending;
    private bool _refused;
    private ulong _icr;

    public LocalApic(int index, ApicBus bus, ITimerService timers, ILocalApicOwner owner)
    {
        Index = index;
        _isBsp = index == 0;
        _bus = bus;
        _owner = owner;
        _clock = timers.Clock;
        _timer = timers.Create(OnTimer);
        bus.Attach(this);
        Reset(powerOn: true);
    }

    public int Index { get; }

    public ulong MmioBase => _apicBase & ~0xFFFUL;

    /// <summary>The xAPIC page answers accesses.</summary>
    public bool IsMmioEnabled => (_apicBase & (BaseEnable | BaseX2)) == BaseEnable;

    public bool IsX2 => (Volatile.Read(ref _apicBase) & BaseX2) != 0;

    public bool IsEnabled => (Volatile.Read(ref _apicBase) & BaseEnable) != 0;

    public bool IsSoftwareEnabled => IsEnabled && (Volatile.Read(ref _svr) & 0x100) != 0;

    /// <summary>The physical id is the VP's number: a guest may change it in xAPIC mode.</summary>
    public bool HasResetId => Volatile.Read(ref _id) == (uint)Index && IsEnabled;

    public int ArbitrationPriority => (int)Volatile.Read(ref _tpr) >> 4;

    /// <summary>Architectural state after power-on or INIT (Intel SDM Vol. 3A, 11.4.7).</summary>
    public void Reset(bool powerOn)
    {
        if (powerOn)
        {
            _apicBase = DefaultBase | BaseEnable | (_isBsp ? BaseBsp : 0);
            Array.Clear(_autoEoi);
        }

        ResetRegisters();
        if (powerOn && _isBsp)
        {
            // Virtual wire mode, as firmware leaves it: a kernel that is loaded directly counts on the PIC (as QEMU does).
            _lvt[LvtLint0] = (uint)DeliveryMode.ExtInt << 8;
        }
    }

    /// <summary>Does a message's destination name this APIC?</summary>
    public bool Matches(in ApicMessage message)
    {
        if (!IsEnabled)
        {
            return false;
        }

        uint destination = message.Destination;
        if (destination == (message.Wide ? 0xFFFF_FFFF : 0xFF))
        {
            return true;
        }

        if (!message.Logical)
        {
            return destination == Volatile.Read(ref _id);
        }

        uint ldr = Volatile.Read(ref _ldr);
        if (IsX2)
        {
            return destination >> 16 == ldr >> 16 && (destination & ldr & 0xFFFF) != 0;
        }

        uint own = ldr >> 24;
        return Volatile.Read(ref _dfr) >> 28 == 0xF
            ? (own & destination) != 0
            : own >> 4 == destination >> 4 && (own & destination & 0xF) != 0;
    }

    public void Accept(in ApicMessage message)
    {
        switch (message.Mode)
        {
            case DeliveryMode.Fixed:
            case DeliveryMode.LowestPriority:
                AcceptVector(message.Vector, message.Level);
                break;
            case DeliveryMode.Nmi:
                _owner.Notify(VpEvents.Nmi);
                break;
            case DeliveryMode.Init:
                _owner.PostInit();
                break;
            case DeliveryMode.Startup:
                _owner.PostStartup(message.Vector);
                break;
            default:
                // No SMM; ExtINT comes over the INTR wire.
                break;
        }
    }

    /// <summary>Sets an IRR bit. Any thread.</summary>
    /// <returns>False when the APIC is software-disabled or the vector is illegal: the interrupt is lost.</returns>
    public bool AcceptVector(byte vector, bool level = false)
    {
        if (!IsSoftwareEnabled)
        {
            Volatile.Write(ref _refused, true);
            _owner.Notify(VpEvents.Interrupt);
            return false;
        }

        if (vector < 16)
        {
            RecordError(EsrReceiveIllegal);
            return false;
        }

        uint bit = 1u << (vector & 31);
        if (level)
        {
            Interlocked.Or(ref _tmr[vector >> 5], bit);
        }
        else if ((Volatile.Read(ref _tmr[vector >> 5]) & bit) != 0)
        {
            Interlocked.And(ref _tmr[vector >> 5], ~bit);
        }

        if ((Interlocked.Or(ref _irr[vector >> 5], bit) & bit) == 0)
        {
            _owner.Notify(VpEvents.Interrupt);
        }

        return true;
    }

    /// <summary>Pending and in-service vectors, for a person.</summary>
    public string Describe() => $"IRR {Vectors(_irr)}, ISR {Vectors(_isr)}, TPR {_tpr:x}";

    /// <summary>Is there anything that AcknowledgeInterrupt would return?</summary>
    public bool HasDeliverable => DeliverableVector() >= 0 || IsExternalDeliverable;

    /// <summary>
    /// Has an interrupt arrived that was not taken yet, whatever its priority? Also true, once, after one that this APIC refused
    /// because software had not enabled it: a VP that Linux is bringing up may already sleep for a spinlock's kick.
    /// </summary>
    public bool TakeArrival() => Interlocked.Exchange(ref _refused, false) || Highest(_irr) >= 0 || IsExternalDeliverable;

    /// <summary>Moves the highest deliverable vector from IRR to ISR, or runs the PIC's acknowledge cycle.</summary>
    /// <returns>The vector; -1 when there is none.</returns>
    public int Acknowledge()
    {
        if (IsExternalDeliverable)
        {
            byte external = _bus.AcknowledgeExternal(out bool present);
            if (present)
            {
                NotifyIfDeliverable();
                return external;
            }
        }

        int vector = DeliverableVector();
        if (vector < 0)
        {
            return -1;
        }

        uint bit = 1u << (vector & 31);
        Interlocked.And(ref _irr[vector >> 5], ~bit);

        // TLFS "SINTx Registers", AutoEOI: in service only for the instant of delivery.
        if ((Volatile.Read(ref _autoEoi[vector >> 5]) & bit) == 0)
        {
            _isr[vector >> 5] |= bit;
        }

        NotifyIfDeliverable();
        return vector;
    }

    public void EndOfInterrupt()
    {
        int vector = Highest(_isr);
        if (vector < 0)
        {
            return;
        }

        uint bit = 1u << (vector & 31);
        _isr[vector >> 5] &= ~bit;

        // Intel SDM Vol. 3A, 11.8.5: with suppression the guest writes the IOAPIC's EOI register itself.
        if ((Volatile.Read(ref _tmr[vector >> 5]) & bit) != 0 && (_svr & SuppressEoiBroadcast) == 0)
        {
            _bus.RaiseEndOfInterrupt((byte)vector);
        }

        NotifyIfDeliverable();
    }

    /// <summary>Task priority register, 8 bits.</summary>
    public byte Tpr
    {
        get => (byte)_tpr;
        set
        {
            uint old = _tpr;
            Volatile.Write(ref _tpr, value);
            if (value < old)
            {
                NotifyIfDeliverable();
            }
        }
    }

    /// <summary>The INTR wire rose, or rose again after an acknowledge.</summary>
    public void OnExternalInterrupt(bool rising)
    {
        if (IsExternalDeliverable)
        {
            _owner.Notify(VpEvents.Interrupt);
            return;
        }

        uint lint0 = Volatile.Read(ref _lvt[LvtLint0]);
        if (rising && IsEnabled && (lint0 & LvtMasked) == 0)
        {
            DeliverLocal(lint0);
        }
    }

    /// <summary>LINT1: the chipset's NMI wire.</summary>
    public void PulseLint1()
    {
        uint lint1 = Volatile.Read(ref _lvt[LvtLint1]);
        if (!IsEnabled)
        {
            _owner.Notify(VpEvents.Nmi);
        }
        else if ((lint1 & LvtMasked) == 0)
        {
            DeliverLocal(lint1);
        }
    }

    /// <summary>Replaces the set of vectors that end themselves (SINTs with AutoEOI). VP thread.</summary>
    public void SetAutoEoi(ReadOnlySpan<uint> vectors)
    {
        for (int i = 0; i < _autoEoi.Length; i++)
        {
            Volatile.Write(ref _autoEoi[i], vectors[i]);
        }
    }

    public void Dispose() => _timer.Dispose();

    private bool IsExternalDeliverable
    {
        get
        {
            if (!_bus.ExternalInterruptAsserted)
            {
                return false;
            }

            // Intel SDM Vol. 3A, 11.4.3: a disabled APIC passes LINT0 through as INTR; that wire ends at the BSP.
            if (!IsEnabled)
            {
                return _isBsp;
            }

            uint lint0 = Volatile.Read(ref _lvt[LvtLint0]);
            return (lint0 & LvtMasked) == 0 && (DeliveryMode)((lint0 >> 8) & 7) == DeliveryMode.ExtInt;
        }
    }

    private uint ProcessorPriority
    {
        get
        {
            uint inService = (uint)Math.Max(0, Highest(_isr)) & 0xF0;
            return inService > (_tpr & 0xF0) ? inService : _tpr;
        }
    }

    private static string Vectors(uint[] bits) =>
        string.Join(' ', Enumerable.Range(0, 256).Where(v => (bits[v >> 5] & (1u << (v & 31))) != 0).Select(v => $"{v:x}")) is { Length: > 0 } list
            ? list
            : "none";

    private static int Highest(uint[] bits)
    {
        for (int i = bits.Length - 1; i >= 0; i--)
        {
            uint word = Volatile.Read(ref bits[i]);
            if (word != 0)
            {
                return (i << 5) + BitOperations.Log2(word);
            }
        }

        return -1;
    }

    private int DeliverableVector()
    {
        int vector = Highest(_irr);
        return vector >= 0 && IsEnabled && (uint)vector >> 4 > ProcessorPriority >> 4 ? vector : -1;
    }

    private void NotifyIfDeliverable()
    {
        if (HasDeliverable)
        {
            _owner.Notify(VpEvents.Interrupt);
        }
    }

    private void DeliverLocal(uint lvt)
    {
        switch ((DeliveryMode)((lvt >> 8) & 7))
        {
            case DeliveryMode.Fixed:
                AcceptVector((byte)lvt);
                break;
            case DeliveryMode.Nmi:
                _owner.Notify(VpEvents.Nmi);
                break;
            default:
                break;
        }
    }

    private void RecordError(uint error)
    {
        uint old = Interlocked.Or(ref _esrPending, error);
        uint lvt = Volatile.Read(ref _lvt[LvtError]);
        if ((old & error) == 0 && (lvt & LvtMasked) == 0 && (byte)lvt >= 16)
        {
            AcceptVector((byte)lvt);
        }
    }

    private void ResetRegisters()
    {
        Array.Clear(_irr);
        Array.Clear(_isr);
        Array.Clear(_tmr);
        Array.Fill(_lvt, LvtMasked);
        _svr = 0xFF;
        _tpr = 0;
        _dfr = 0xFFFF_FFFF;
        _esr = 0;
        _esrPending = 0;
        _refused = false;
        _icr = 0;
        _id = (uint)Index;
        _ldr = IsX2 ? X2LogicalId : 0;
        ResetTimer();
    }

    private uint X2LogicalId => ((uint)Index >> 4 << 16) | (1u << (Index & 15));
}

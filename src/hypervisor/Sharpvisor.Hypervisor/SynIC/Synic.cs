// The synthetic interrupt controller of one VP: SINTs, the message page (SIMP) and the event flags page (SIEFP)
// (TLFS "Inter-Partition Communication"). Any thread delivers; the VP's thread writes the registers; one lock.
using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed partial class Synic : IDisposable
{
    public const int SintCount = 16;
    public const int MessageBytes = 256;
    public const int MaxPayloadBytes = 240;
    public const int EventFlagCount = 2048;
    public const int MaxQueuedMessages = 1024;
    private const int EventFlagsBytes = 256;
    private const int PayloadOffset = 16;
    private const ulong Enable = 1;
    private const ulong SintMasked = 1 << 16;
    private const ulong SintAutoEoi = 1 << 17;
    private const ulong SintPolling = 1 << 18;
    private const uint FlagsPending = 1 << 8;

    private readonly VirtualProcessor _processor;
    private readonly InterceptCounters _counters;
    private readonly Lock _lock = new();
    private readonly ulong[] _sints = new ulong[SintCount];
    private readonly MessageQueue[] _queues = new MessageQueue[SintCount];
    private readonly OverlaySlot _messagePage;
    private readonly OverlaySlot _eventPage;
    private ulong _control;
    private ulong _siefp;
    private ulong _simp;

    public Synic(VirtualProcessor processor, GuestMemory memory, ITimerService timers, InterceptCounters counters)
    {
        _processor = processor;
        _counters = counters;
        _messagePage = new OverlaySlot(memory, writable: true);
        _eventPage = new OverlaySlot(memory, writable: true);
        for (int i = 0; i < SintCount; i++)
        {
            _queues[i] = new MessageQueue();
        }

        Timers = new SyntheticTimer[SyntheticTimer.Count];
        for (int i = 0; i < Timers.Length; i++)
        {
            Timers[i] = new SyntheticTimer(i, this, processor, timers, counters);
        }
    }

    public SyntheticTimer[] Timers { get; }

    public ulong Control
    {
        get => _control;
        set
        {
            lock (_lock)
            {
                _control = value;
            }

            DeliverQueued();
        }
    }

    public ulong EventPage
    {
        get => _siefp;
        set
        {
            lock (_lock)
            {
                _siefp = value;
            }

            // Outside the lock: a layout change may wait for other VPs, which may be delivering to this one.
            _eventPage.Update((value & Enable) != 0, value >> GuestMemory.PageShift);
        }
    }

    public ulong MessagePage
    {
        get => _simp;
        set
        {
            lock (_lock)
            {
                _simp = value;
            }

            // Outside the lock: a layout change may wait for other VPs, which may be delivering to this one.
            _messagePage.Update((value & Enable) != 0, value >> GuestMemory.PageShift);

            DeliverQueued();
        }
    }

    public ulong GetSint(int index) => _sints[index];

    /// <returns>False (#GP): vector 0 to 15 in a SINT that is not masked.</returns>
    public bool TrySetSint(int index, ulong value)
    {
        // TLFS "SINTx Registers": valid vectors are 16 to 255. Linux masks a SINT by writing back what it read, so a
        // masked one may hold its reset value, vector 0.
        if ((byte)value < 16 && (value & SintMasked) == 0)
        {
            return false;
        }

        lock (_lock)
        {
            _sints[index] = value;
        }

        Span<uint> autoEoi = stackalloc uint[8];
        autoEoi.Clear();
        foreach (ulong sint in _sints)
        {
            // Masked or not: a vector that is already in IRR when the guest masks its SINT still gets no EOI from the guest.
            if ((sint & SintAutoEoi) != 0)
            {
                autoEoi[(byte)sint >> 5] |= 1u << ((byte)sint & 31);
            }
        }

        _processor.Apic.SetAutoEoi(autoEoi);
        return true;
    }

    /// <summary>EOM: the guest emptied a slot that said "message pending".</summary>
    public void EndOfMessage() => DeliverQueued();

    public bool PostMessage(byte sint, uint messageType, ReadOnlySpan<byte> payload)
    {
        if (sint >= SintCount || payload.Length > MaxPayloadBytes)
        {
            return false;
        }

        lock (_lock)
        {
            MessageQueue queue = _queues[sint];
            if (queue.Count >= MaxQueuedMessages)
            {
                return false;
            }

            queue.Enqueue(messageType, payload);
            DeliverLocked(sint);
        }

        if (_processor.IsTracing)
        {
            _processor.Trace(string.Create(
                CultureInfo.InvariantCulture, $"message sint {sint} type 0x{messageType:x} bytes {payload.Length}"));
        }

        return true;
    }

    public bool SignalEvent(byte sint, ushort flag)
    {
        if (sint >= SintCount || flag >= EventFlagCount)
        {
            return false;
        }

        lock (_lock)
        {
            ulong register = _sints[sint];
            if ((_control & _siefp & Enable) == 0 || (register & SintMasked) != 0)
            {
                return false;
            }

            Span<uint> words = MemoryMarshal.Cast<byte, uint>(_eventPage.Page.Bytes.Slice(sint * EventFlagsBytes, EventFlagsBytes));
            uint bit = 1u << (flag & 31);
            if ((Interlocked.Or(ref words[flag >> 5], bit) & bit) == 0)
            {
                _counters.Events.Increment();
                Interrupt(register);
            }
        }

        if (_processor.IsTracing)
        {
            _processor.Trace(string.Create(CultureInfo.InvariantCulture, $"event sint {sint} flag {flag}"));
        }

        return true;
    }

    /// <summary>The SINT's interrupt alone. False when it is masked or polled, or SynIC is off.</summary>
    public bool AssertSint(byte sint)
    {
        lock (_lock)
        {
            if (sint >= SintCount || (_control & Enable) == 0 || (_sints[sint] & (SintMasked | SintPolling)) != 0)
            {
                return false;
            }

            Interrupt(_sints[sint]);
            return true;
        }
    }

    public void DiscardMessages(byte sint)
    {
        lock (_lock)
        {
            if (sint < SintCount)
            {
                _queues[sint].Clear();
            }
        }
    }

    public void Reset()
    {
        foreach (SyntheticTimer timer in Timers)
        {
            timer.Reset();
        }

        lock (_lock)
        {
            _control = 0;
            _siefp = 0;
            _simp = 0;
            _pendingTimers = 0;
            Array.Fill(_sints, SintMasked);
            foreach (MessageQueue queue in _queues)
            {
                queue.Clear();
            }
        }

        _messagePage.Update(false, 0);
        _eventPage.Update(false, 0);
        _messagePage.Page.Bytes.Clear();
        _eventPage.Page.Bytes.Clear();
    }

    public void Dispose()
    {
        foreach (SyntheticTimer timer in Timers)
        {
            timer.Dispose();
        }
    }

    private void DeliverQueued()
    {
        lock (_lock)
        {
            for (int sint = 0; sint < SintCount; sint++)
            {
                DeliverLocked(sint);
            }
        }
    }

    /// <summary>Moves the head of a SINT's queue into its slot if the slot is free; otherwise asks the guest for an EOM.</summary>
    private void DeliverLocked(int sint)
    {
        MessageQueue queue = _queues[sint];
        bool timerWaits = HasPendingTimer(sint, out int timer);
        if ((!timerWaits && queue.Count == 0) || (_control & _simp & Enable) == 0)
        {
            return;
        }

        Span<byte> slot = _messagePage.Page.Bytes.Slice(sint * MessageBytes, MessageBytes);
        Span<uint> words = MemoryMarshal.Cast<byte, uint>(slot);
        if (Volatile.Read(ref words[0]) != 0)
        {
            // drivers/hv/hv_vmbus.c clears the type, then (after a full barrier) tests the flag: set it, then look again.
            Interlocked.Or(ref words[1], FlagsPending);
            if (Volatile.Read(ref words[0]) != 0)
            {
                return;
            }
        }

        uint type;
        int length;
        if (timerWaits)
        {
            type = SyntheticTimer.MessageType;
            length = SyntheticTimer.PayloadBytes;
            Timers[timer].FillPayload(slot[PayloadOffset..], _pendingExpirations[timer]);
            _pendingTimers &= ~(1u << timer);
        }
        else
        {
            type = queue.Dequeue(slot[PayloadOffset..], out length);
        }

        bool more = queue.Count > 0 || HasPendingTimer(sint, out _);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[8..], 0);
        Volatile.Write(ref words[1], (uint)length | (more ? FlagsPending : 0));

        // The type makes the slot the guest's: everything else is written before it.
        Volatile.Write(ref words[0], type);
        _counters.Messages.Increment();
        Interrupt(_sints[sint]);
    }

    private void Interrupt(ulong register)
    {
        if ((register & (SintMasked | SintPolling)) == 0)
        {
            _processor.Apic.AcceptVector((byte)register);
        }
    }
}

// The transmit process (21140A HRM, 4.3.5): gathers frames from descriptors, gives the descriptors back at once and then hands the
// frame to the port, which may block: hence a thread of its own.
using static Sharpvisor.Devices.Nic.Dec21140Registers;

namespace Sharpvisor.Devices.Nic;

public sealed partial class Dec21140
{
    private const uint DescriptorBytes = 16;
    private const int MinimumFrameBytes = 14;

    // The longest frame the chip sends (jabber cuts after 2560 bytes).
    private const int MaximumSentBytes = 2560;
    private const int RefusedPollMilliseconds = 50;

    private readonly Thread _transmitter;
    private readonly AutoResetEvent _work = new(initialState: false);
    private readonly byte[] _frame = new byte[MaximumSentBytes];
    private uint _transmitDescriptor;
    private bool _transmitSuspended;
    private bool _gathering;
    private int _gathered;

    private enum Step
    {
        Nothing,
        More,
        Frame,
        Loopback,
    }

    private void PollTransmit()
    {
        _transmitSuspended = false;
        if (TransmitStarted)
        {
            _ = _work.Set();
        }
    }

    private void StopTransmitting()
    {
        lock (_lock)
        {
            _disposed = true;
            _ = _work.Set();
        }
    }

    private void Transmit()
    {
        while (true)
        {
            // A driver need not touch a register to make room; the chip would look at its next frame.
            _ = _work.WaitOne(Volatile.Read(ref _refused) ? RefusedPollMilliseconds : Timeout.Infinite);
            bool room;
            lock (_lock)
            {
                room = HasRoomAgain();
                if (_disposed)
                {
                    return;
                }
            }

            if (room)
            {
                _port.ReceiveReady();
            }

            SendAll();
        }
    }

    private void SendAll()
    {
        while (true)
        {
            Step step;
            int bytes;
            lock (_lock)
            {
                step = _disposed || _paused ? Step.Nothing : TransmitDescriptor();
                bytes = _gathered;
            }

            switch (step)
            {
                case Step.Nothing:
                    return;
                case Step.Frame:
                    _counters.SentFrames.Increment();
                    _counters.SentBytes.Add(bytes);
                    _port.Send(_frame.AsSpan(0, bytes), default);
                    break;
                case Step.Loopback:
                    lock (_lock)
                    {
                        _ = Store(_frame.AsSpan(0, bytes));
                    }

                    break;
            }
        }
    }

    // One descriptor: each is given back before the next is looked at, so that a list in a circle ends.
    private Step TransmitDescriptor()
    {
        uint address = _transmitDescriptor;
        if (!TransmitStarted || _transmitSuspended || !BusMasterEnabled)
        {
            return Step.Nothing;
        }

        if (!_memory.TryRead(address, out Descriptor descriptor))
        {
            FailBus();
            return Step.Nothing;
        }

        if ((descriptor.Status & Owned) == 0)
        {
            _transmitSuspended = true;
            Raise(TransmitUnavailable);
            return Step.Nothing;
        }

        Step step = (descriptor.Control & SetupPacket) != 0 ? LoadFilter(descriptor) : Gather(descriptor);
        if (_busError != 0 || !_memory.TryWrite(address, 0u))
        {
            FailBus();
            return Step.Nothing;
        }

        _transmitDescriptor = NextDescriptor(address, descriptor.Control, descriptor.Buffer2, _registers[4]);
        bool last = (descriptor.Control & (LastSegment | SetupPacket)) != 0;
        if (last && (descriptor.Control & InterruptOnCompletion) != 0)
        {
            Raise(TransmitInterrupt);
        }

        return step;
    }

    private Step Gather(in Descriptor descriptor)
    {
        if ((descriptor.Control & FirstSegment) != 0)
        {
            (_gathering, _gathered) = (true, 0);
        }

        int size1 = (int)(descriptor.Control & SizeMask);
        int size2 = (descriptor.Control & Chained) != 0 ? 0 : (int)(descriptor.Control >> Size2Shift & SizeMask);
        if (!_gathering || !TryGather(descriptor.Buffer1, size1) || !TryGather(descriptor.Buffer2, size2))
        {
            _gathering = false;
            return Step.More;
        }

        if ((descriptor.Control & LastSegment) == 0)
        {
            return Step.More;
        }

        _gathering = false;
        if (_gathered < MinimumFrameBytes)
        {
            return Step.More;
        }

        return (_registers[6] & LoopbackMode) != 0 ? Step.Loopback : Step.Frame;
    }

    private bool TryGather(uint address, int bytes)
    {
        if (bytes > MaximumSentBytes - _gathered)
        {
            return false;
        }

        if (!_memory.TryRead(address, _frame.AsSpan(_gathered, bytes)))
        {
            FailBus();
            return false;
        }

        _gathered += bytes;
        return true;
    }

    private Step LoadFilter(in Descriptor descriptor)
    {
        Span<byte> frame = stackalloc byte[Dec21140Filter.SetupBytes];
        if ((descriptor.Control & SizeMask) != Dec21140Filter.SetupBytes)
        {
            return Step.More;
        }

        if (!_memory.TryRead(descriptor.Buffer1, frame))
        {
            FailBus();
            return Step.More;
        }

        int type = ((descriptor.Control & FilterType1) != 0 ? 2 : 0) | ((descriptor.Control & FilterType0) != 0 ? 1 : 0);
        _filter.Load(frame, type);
        return Step.More;
    }

    /// <summary>Four words, as they are in memory.</summary>
    private readonly record struct Descriptor(uint Status, uint Control, uint Buffer1, uint Buffer2);
}

// One Intel 8259A interrupt controller (Intel 8259A datasheet, order number 231468).
namespace Sharpvisor.Devices;

/// <summary>One chip of the pair. Not thread-safe: <see cref="Pic8259Pair"/> locks.</summary>
internal sealed class Pic8259
{
    private const int CascadeInput = 2;

    private readonly bool _isMaster;
    private readonly byte _elcrMask;
    private byte _lines;
    private byte _irr;
    private byte _isr;
    private byte _imr;
    private byte _elcr;
    private byte _vectorBase;
    private int _highestPriority;
    private int _nextIcw;
    private bool _needsIcw4;
    private bool _isSingle;
    private bool _autoEoi;
    private bool _rotateOnAutoEoi;
    private bool _specialMask;
    private bool _specialFullyNested;
    private bool _readIsr;
    private bool _poll;

    public Pic8259(bool isMaster, byte elcrMask)
    {
        _isMaster = isMaster;
        _elcrMask = elcrMask;
    }

    /// <summary>Edge/level control: bit set means level-triggered (Intel 82371AB datasheet, 4.2.6).</summary>
    public byte Elcr
    {
        get => _elcr;
        set
        {
            _elcr = (byte)(value & _elcrMask);
            _irr = (byte)((_irr & ~LevelInputs) | (_lines & LevelInputs));
        }
    }

    public void Reset()
    {
        _irr = _isr = _imr = _elcr = _vectorBase = 0;
        _nextIcw = 0;
        ResetModes();
    }

    public void SetLine(int input, bool asserted)
    {
        byte bit = (byte)(1 << input);
        bool rose = asserted && (_lines & bit) == 0;
        _lines = (byte)(asserted ? _lines | bit : _lines & ~bit);
        if ((LevelInputs & bit) != 0)
        {
            _irr = (byte)(asserted ? _irr | bit : _irr & ~bit);
        }
        else if (rose)
        {
            _irr |= bit;
        }
    }

    /// <summary>The input that would be served now, or -1: the INT output is asserted when it is not.</summary>
    public int Pending()
    {
        int priority = HighestPriority((byte)(_irr & ~_imr));
        if (priority == 8)
        {
            return -1;
        }

        int inService = _isr;
        if (_specialMask)
        {
            // Special mask mode: a masked input in service does not block lower ones.
            inService &= ~_imr;
        }

        if (_specialFullyNested && _isMaster)
        {
            inService &= ~(1 << CascadeInput);
        }

        return priority < HighestPriority((byte)inService) ? InputOf(priority) : -1;
    }

    public void Acknowledge(int input)
    {
        byte bit = (byte)(1 << input);
        if (_autoEoi)
        {
            if (_rotateOnAutoEoi)
            {
                _highestPriority = (input + 1) & 7;
            }
        }
        else
        {
            _isr |= bit;
        }

        if ((LevelInputs & bit) == 0)
        {
            _irr = (byte)(_irr & ~bit);
        }
    }

    public byte Vector(int input) => (byte)(_vectorBase + input);

    public byte Read(int address)
    {
        if (_poll)
        {
            _poll = false;
            int input = Pending();
            if (input < 0)
            {
                return 0;
            }

            Acknowledge(input);
            return (byte)(0x80 | input);
        }

        return address != 0 ? _imr : _readIsr ? _isr : _irr;
    }

    public void Write(int address, byte value)
    {
        if (address == 0)
        {
            if ((value & 0x10) != 0)
            {
                WriteIcw1(value);
            }
            else if ((value & 0x08) != 0)
            {
                WriteOcw3(value);
            }
            else
            {
                WriteOcw2(value);
            }
        }
        else if (_nextIcw == 0)
        {
            _imr = value;
        }
        else
        {
            WriteNextIcw(value);
        }
    }

    private void WriteIcw1(byte value)
    {
        // The edge sense circuit is reset: only level inputs still ask.
        _irr = (byte)(_irr & LevelInputs);
        _imr = 0;
        _isr = 0;
        ResetModes();
        _needsIcw4 = (value & 1) != 0;
        _isSingle = (value & 2) != 0;
        _nextIcw = 2;
    }

    private void WriteNextIcw(byte value)
    {
        switch (_nextIcw)
        {
            case 2:
                _vectorBase = (byte)(value & 0xF8);
                _nextIcw = !_isSingle ? 3 : _needsIcw4 ? 4 : 0;
                break;
            case 3:
                // The cascade wiring is fixed on this board, whatever ICW3 says.
                _nextIcw = _needsIcw4 ? 4 : 0;
                break;
            default:
                _autoEoi = (value & 0x02) != 0;
                _specialFullyNested = (value & 0x10) != 0;
                _nextIcw = 0;
                break;
        }
    }

    private void WriteOcw2(byte value)
    {
        int input = value & 7;
        switch (value >> 5)
        {
            case 0:
                _rotateOnAutoEoi = false;
                break;
            case 4:
                _rotateOnAutoEoi = true;
                break;
            case 1 or 5:
                int priority = HighestPriority(_isr);
                if (priority < 8)
                {
                    EndOfInterrupt(InputOf(priority), rotate: value >> 5 == 5);
                }

                break;
            case 3 or 7:
                EndOfInterrupt(input, rotate: value >> 5 == 7);
                break;
            case 6:
                _highestPriority = (input + 1) & 7;
                break;
            default:
                // 2: no operation.
                break;
        }
    }

    private void EndOfInterrupt(int input, bool rotate)
    {
        _isr = (byte)(_isr & ~(1 << input));
        if (rotate)
        {
            _highestPriority = (input + 1) & 7;
        }
    }

    private void WriteOcw3(byte value)
    {
        _poll = (value & 4) != 0;
        if ((value & 2) != 0)
        {
            _readIsr = (value & 1) != 0;
        }

        if ((value & 0x40) != 0)
        {
            _specialMask = (value & 0x20) != 0;
        }
    }

    private void ResetModes()
    {
        _highestPriority = 0;
        _autoEoi = false;
        _rotateOnAutoEoi = false;
        _specialMask = false;
        _specialFullyNested = false;
        _readIsr = false;
        _poll = false;
    }

    /// <summary>The cascade input follows the slave's INT, which drops when the slave's request goes away.</summary>
    private int LevelInputs => _isMaster ? _elcr | (1 << CascadeInput) : _elcr;

    private int InputOf(int priority) => (priority + _highestPriority) & 7;

    /// <summary>0 (highest) to 7, or 8 when no bit is set.</summary>
    private int HighestPriority(byte inputs)
    {
        for (int priority = 0; priority < 8; priority++)
        {
            if ((inputs & (1 << InputOf(priority))) != 0)
            {
                return priority;
            }
        }

        return 8;
    }
}

// A Microwire serial ROM of 64 words (93C46), bit-banged through CSR9: start bit, two bits of operation, six of address, then data,
// most significant bit first, on rising clock edges. The guest can read it only.
namespace Sharpvisor.Devices.Nic;

internal sealed class SerialRom(ushort[] words)
{
    public const int Words = 64;

    private const int AddressBits = 6;
    private const int CommandBits = 3 + AddressBits;
    private const int ReadCommand = 6;
    private const uint Select = 1;
    private const uint Clock = 2;
    private const uint DataIn = 4;
    private const uint DataOut = 8;
    private uint _pins;
    private int _command;
    private int _commandBits;
    private int _address;
    private int _bit;
    private bool _reading;
    private bool _output = true;

    /// <summary>CSR9&lt;3:0&gt; as the guest reads them.</summary>
    public uint Pins => (_pins & ~DataOut) | (_output ? DataOut : 0);

    public void Write(uint pins)
    {
        bool rising = (pins & Clock) != 0 && (_pins & Clock) == 0;
        _pins = pins & 0xF;
        if ((pins & Select) == 0)
        {
            // Deselected: the output floats, and the next start bit begins a command.
            (_command, _commandBits, _reading, _output) = (0, 0, false, true);
        }
        else if (rising)
        {
            Step((pins & DataIn) != 0);
        }
    }

    private void Step(bool data)
    {
        if (_reading)
        {
            // Words follow each other for as long as the clock goes on.
            _output = (words[_address] >> (15 - _bit) & 1) != 0;
            _bit = (_bit + 1) & 15;
            _address = _bit == 0 ? (_address + 1) % Words : _address;
        }
        else if (data || _commandBits > 0)
        {
            _command = (_command << 1) | (data ? 1 : 0);
            if (++_commandBits == CommandBits)
            {
                _reading = _command >> AddressBits == ReadCommand;
                _address = _command & (Words - 1);
                _bit = 0;
                _commandBits = 0;
                _command = 0;

                // A zero comes before the data: drivers find out the number of address bits by it.
                _output = !_reading;
            }
        }
    }
}

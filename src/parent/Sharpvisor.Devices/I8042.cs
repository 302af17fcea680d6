// The 8042 keyboard controller at 0x60 and 0x64, with a PS/2 keyboard and mouse
// (IBM PS/2 Hardware Interface Technical Reference, "Keyboard/Auxiliary Device Controller"; drivers/input/serio/i8042.c).
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Keyboard controller. Its pulse command and output port are one of the machine's ways to reset.</summary>
public sealed class I8042 : IPortDevice
{
    private const ushort DataPort = 0x60;
    private const ushort CommandPort = 0x64;
    private const byte ConfigKeyboardInterrupt = 1;
    private const byte ConfigAuxInterrupt = 2;
    private const byte ConfigSystem = 4;
    private const byte ConfigKeyboardDisabled = 0x10;
    private const byte ConfigAuxDisabled = 0x20;
    private const byte StatusOutputFull = 1;
    private const byte StatusAux = 0x20;
    private const int QueueLimit = 32;

    private readonly IInterruptLine _keyboardInterrupt;
    private readonly IInterruptLine _auxInterrupt;
    private readonly IPowerControl _power;
    private readonly Lock _lock = new();
    private readonly Queue<(byte Value, bool Aux)> _controllerQueue = new();
    private readonly Ps2Keyboard _keyboard = new();
    private readonly Ps2Mouse _mouse = new();
    private byte _config;
    private byte _outputPort;
    private byte _output;
    private bool _outputFull;
    private bool _outputIsAux;
    private bool _lastWasCommand;
    private byte _command;

    public I8042(IDeviceBus bus, IInterruptLine keyboardInterrupt, IInterruptLine auxInterrupt, IPowerControl power)
    {
        ArgumentNullException.ThrowIfNull(bus);
        _keyboardInterrupt = keyboardInterrupt;
        _auxInterrupt = auxInterrupt;
        _power = power;
        Keyboard = new KeyboardPort(this);
        Pointer = new PointerPort(this);
        bus.MapPorts(DataPort, 1, this);
        bus.MapPorts(CommandPort, 1, this);
        Reset();
    }

    public void Reset()
    {
        lock (_lock)
        {
            // As a BIOS leaves it: self test passed, keyboard interrupt on, translation on.
            _config = ConfigKeyboardInterrupt | ConfigSystem | 0x40;
            _outputPort = 0xDF;
            _outputFull = false;
            _command = 0;
            _lastWasCommand = false;
            _controllerQueue.Clear();
            _keyboard.Reset();
            _mouse.Reset();
            Update();
        }
    }

    /// <summary>The emulated twin of the synthetic keyboard. Guests read set 1, as they do with the controller's translation on.</summary>
    public IKeyboard Keyboard { get; }

    /// <summary>The emulated twin of the synthetic mouse.</summary>
    public IPointer Pointer { get; }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        lock (_lock)
        {
            if (port == CommandPort)
            {
                return (byte)((_outputFull ? StatusOutputFull : 0) | (_config & ConfigSystem)
                    | (_lastWasCommand ? 8 : 0) | 0x10 | (_outputFull && _outputIsAux ? StatusAux : 0));
            }

            byte value = _output;
            _outputFull = false;
            // The wire drops for a moment, so that the next byte makes a new edge.
            _keyboardInterrupt.Set(false);
            _auxInterrupt.Set(false);
            Update();
            return value;
        }
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        bool reset;
        lock (_lock)
        {
            reset = port == CommandPort ? WriteCommand((byte)value) : WriteData((byte)value);
            Update();
        }

        if (reset)
        {
            _power.Reset();
        }
    }

    private bool WriteCommand(byte command)
    {
        _lastWasCommand = true;
        _command = 0;
        switch (command)
        {
            case 0x20:
                Respond(_config);
                break;
            case 0x60 or 0xD1 or 0xD2 or 0xD3 or 0xD4:
                _command = command;
                break;
            case 0xA7:
                _config |= ConfigAuxDisabled;
                break;
            case 0xA8:
                _config = (byte)(_config & ~ConfigAuxDisabled);
                break;
            case 0xA9 or 0xAB:
                Respond(0);
                break;
            case 0xAA:
                _config |= ConfigSystem;
                Respond(0x55);
                break;
            case 0xAD:
                _config |= ConfigKeyboardDisabled;
                break;
            case 0xAE:
                _config = (byte)(_config & ~ConfigKeyboardDisabled);
                break;
            case 0xC0:
                Respond(0xA0);
                break;
            case 0xD0:
                Respond(_outputPort);
                break;
            case >= 0xF0:
                // Pulses the output port's low bits that are 0; bit 0 is the processor's reset.
                return (command & 1) == 0;
            default:
                break;
        }

        return false;
    }

    private bool WriteData(byte value)
    {
        _lastWasCommand = false;
        byte command = _command;
        _command = 0;
        switch (command)
        {
            case 0x60:
                _config = value;
                break;
            case 0xD1:
                _outputPort = value;
                return (value & 1) == 0;
            case 0xD2:
                Respond(value);
                break;
            case 0xD3:
                // i8042_check_aux uses this loop to see whether an AUX port exists.
                Respond(value, aux: true);
                break;
            case 0xD4:
                _mouse.Write(value);
                break;
            default:
                // Writing to the keyboard enables its clock.
                _config = (byte)(_config & ~ConfigKeyboardDisabled);
                _keyboard.Write(value);
                break;
        }

        return false;
    }

    private void Respond(byte value, bool aux = false)
    {
        if (_controllerQueue.Count < QueueLimit)
        {
            _controllerQueue.Enqueue((value, aux));
        }
    }

    private void Update()
    {
        if (!_outputFull && TryNext(out byte value, out bool aux))
        {
            _output = value;
            _outputIsAux = aux;
            _outputFull = true;
        }

        _keyboardInterrupt.Set(_outputFull && !_outputIsAux && (_config & ConfigKeyboardInterrupt) != 0);
        _auxInterrupt.Set(_outputFull && _outputIsAux && (_config & ConfigAuxInterrupt) != 0);
    }

    private bool TryNext(out byte value, out bool aux)
    {
        if (_controllerQueue.TryDequeue(out (byte Value, bool Aux) response))
        {
            (value, aux) = response;
            return true;
        }

        aux = false;
        if ((_config & ConfigKeyboardDisabled) == 0 && _keyboard.TryRead(out value))
        {
            return true;
        }

        aux = true;
        value = 0;
        return (_config & ConfigAuxDisabled) == 0 && _mouse.TryRead(out value);
    }

    private sealed class KeyboardPort(I8042 controller) : IKeyboard
    {
        public bool IsActive
        {
            get
            {
                lock (controller._lock)
                {
                    return (controller._config & (ConfigKeyboardInterrupt | ConfigKeyboardDisabled)) == ConfigKeyboardInterrupt
                        && controller._keyboard.IsScanning;
                }
            }
        }

        public bool TrySend(KeyStroke stroke)
        {
            lock (controller._lock)
            {
                bool sent = controller._keyboard.TryType(stroke);
                controller.Update();
                return sent;
            }
        }
    }

    private sealed class PointerPort(I8042 controller) : IPointer
    {
        public bool IsActive
        {
            get
            {
                lock (controller._lock)
                {
                    return (controller._config & (ConfigAuxInterrupt | ConfigAuxDisabled)) == ConfigAuxInterrupt
                        && controller._mouse.IsReporting;
                }
            }
        }

        public void Report(PointerState state)
        {
            lock (controller._lock)
            {
                controller._mouse.Report(state);
                controller.Update();
            }
        }
    }
}

// A VM's keyboard and mouse: synthetic where the guest has taken them into use, emulated otherwise.
using Sharpvisor.Core;
using Sharpvisor.Devices;
using Sharpvisor.VMBus;
using Sharpvisor.Vsp.Input;

namespace Sharpvisor.Worker;

/// <summary>What a person in front of the VM sees and touches. Thread-safe.</summary>
public sealed class VmConsole
{
    private readonly ConsoleDevices _devices;
    private readonly KeyboardVsp _syntheticKeyboard = new();
    private readonly MouseVsp _syntheticMouse = new();

    internal VmConsole(ConsoleDevices devices, I8042 controller)
    {
        _devices = devices;
        Keyboard = new KeyboardChoice(_syntheticKeyboard, controller.Keyboard);
        Pointer = new PointerChoice(_syntheticMouse, controller.Pointer);
    }

    public IKeyboard Keyboard { get; }

    public IPointer Pointer { get; }

    internal void Offer(VmbusServer bus)
    {
        if (_devices.HasFlag(ConsoleDevices.Keyboard))
        {
            bus.Offer(_syntheticKeyboard);
        }

        if (_devices.HasFlag(ConsoleDevices.Mouse))
        {
            bus.Offer(_syntheticMouse);
        }
    }

    private sealed class KeyboardChoice(IKeyboard synthetic, IKeyboard emulated) : IKeyboard
    {
        public bool IsActive => synthetic.IsActive || emulated.IsActive;

        public bool TrySend(KeyStroke stroke) => (synthetic.IsActive ? synthetic : emulated).TrySend(stroke);
    }

    private sealed class PointerChoice(IPointer synthetic, IPointer emulated) : IPointer
    {
        public bool IsActive => synthetic.IsActive || emulated.IsActive;

        public void Report(PointerState state) => (synthetic.IsActive ? synthetic : emulated).Report(state);
    }
}

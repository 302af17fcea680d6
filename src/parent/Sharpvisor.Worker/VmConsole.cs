// A VM's screen, keyboard and mouse: synthetic where the guest has taken them into use, emulated otherwise.
using System.Net.Sockets;
using Sharpvisor.Core;
using Sharpvisor.Devices;
using Sharpvisor.Devices.Vga;
using Sharpvisor.Display.Vnc;
using Sharpvisor.VMBus;
using Sharpvisor.Vsp.Input;
using Sharpvisor.Vsp.Video;

namespace Sharpvisor.Worker;

/// <summary>What a person in front of the VM sees and touches. Thread-safe, also after the VM's end.</summary>
public sealed class VmConsole : IDisposable
{
    // As Hyper-V's: the frame buffer of a Generation 1 machine has 8 MiB unless it is asked for more.
    private const int VramBytes = 8 << 20;

    private readonly VmOptions _options;
    private readonly KeyboardVsp _syntheticKeyboard = new();
    private readonly MouseVsp _syntheticMouse = new();
    private readonly VideoVsp? _syntheticVideo;
    private readonly VgaAdapter? _vga;
    private readonly Lock _lock = new();
    private readonly List<VncServer> _servers = [];
    private bool _closed;

    internal VmConsole(VmOptions options, GuestMemory memory, IDeviceBus bus, Chipset chipset)
    {
        _options = options;
        if (options.Integration && options.Console.HasFlag(ConsoleDevices.Video))
        {
            _syntheticVideo = new VideoVsp(memory, memory.CreateSharedMemory(VramBytes));
        }

        if (options.Console.HasFlag(ConsoleDevices.Vga))
        {
            _vga = new VgaAdapter(bus, memory, VramBytes);
            chipset.PciBus.Add(_vga);
        }

        Keyboard = new KeyboardChoice(this, chipset.Keyboard.Keyboard);
        Pointer = new PointerChoice(this, chipset.Keyboard.Pointer);
        Screen = new ScreenChoice(this);
    }

    public IKeyboard Keyboard { get; }

    public IPointer Pointer { get; }

    public IScreen Screen { get; }

    /// <summary>Lets VNC viewers in.</summary>
    /// <param name="listener">Listens already; the VM owns it from now on.</param>
    /// <param name="authentication">Null: whoever can connect is welcome.</param>
    internal void ServeVnc(Socket listener, VncAuthentication? authentication)
    {
        var server = new VncServer(listener, Screen, Keyboard, Pointer, authentication);
        lock (_lock)
        {
            _servers.Add(server);
        }

        server.Start();
    }

    /// <summary>Nobody sees or touches anything any more; the devices behind can go.</summary>
    public void Dispose()
    {
        VncServer[] servers;
        lock (_lock)
        {
            _closed = true;
            servers = [.. _servers];
            _servers.Clear();
        }

        // Not under the lock: connections end on this thread, and call in here under locks of their own.
        foreach (VncServer server in servers)
        {
            server.Dispose();
        }
    }

    /// <summary>Sets the adapter's first mode, as firmware does; null when there is none.</summary>
    internal VgaAdapter? PrepareVga()
    {
        _vga?.SetTextMode();
        if (_vga is not null && _options.FrameBuffer is { } size && !_vga.TrySetLinearMode(size.Width, size.Height))
        {
            throw new VmConfigurationException($"--video {size.Width}x{size.Height}: does not fit into {VramBytes >> 20} MiB of video memory");
        }

        return _vga;
    }

    internal void Offer(VmbusServer bus)
    {
        if (_options.Console.HasFlag(ConsoleDevices.Keyboard))
        {
            bus.Offer(_syntheticKeyboard);
        }

        if (_options.Console.HasFlag(ConsoleDevices.Mouse))
        {
            bus.Offer(_syntheticMouse);
        }

        if (_syntheticVideo is not null)
        {
            bus.Offer(_syntheticVideo);
        }
    }

    private sealed class KeyboardChoice(VmConsole console, IKeyboard emulated) : IKeyboard
    {
        private IKeyboard Current => console._syntheticKeyboard.IsActive ? console._syntheticKeyboard : emulated;

        public bool IsActive
        {
            get
            {
                lock (console._lock)
                {
                    return !console._closed && Current.IsActive;
                }
            }
        }

        public bool TrySend(KeyStroke stroke)
        {
            lock (console._lock)
            {
                return console._closed || Current.TrySend(stroke);
            }
        }
    }

    private sealed class PointerChoice(VmConsole console, IPointer emulated) : IPointer
    {
        private IPointer Current => console._syntheticMouse.IsActive ? console._syntheticMouse : emulated;

        public bool IsActive
        {
            get
            {
                lock (console._lock)
                {
                    return !console._closed && Current.IsActive;
                }
            }
        }

        public void Report(PointerState state)
        {
            lock (console._lock)
            {
                if (!console._closed)
                {
                    Current.Report(state);
                }
            }
        }
    }

    private sealed class ScreenChoice(VmConsole console) : IScreen
    {
        // Synthetic where the guest's driver shows something there.
        private IScreen? Current => console._closed ? null : console._syntheticVideo is { IsActive: true } video ? video : console._vga;

        public long Version
        {
            get
            {
                lock (console._lock)
                {
                    IScreen? current = Current;
                    // Numbers of one adapter never equal those of the other.
                    return ((current?.Version ?? 0) << 1) | (current == console._vga ? 1L : 0);
                }
            }
        }

        public bool TryCapture(ScreenImage image)
        {
            lock (console._lock)
            {
                return Current?.TryCapture(image) == true;
            }
        }

        public void SetWatched(bool watched)
        {
            lock (console._lock)
            {
                if (!console._closed)
                {
                    console._syntheticVideo?.SetWatched(watched);
                }
            }
        }
    }
}

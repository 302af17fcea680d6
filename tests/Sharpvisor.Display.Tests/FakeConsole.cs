// A screen to paint on, and a keyboard and a pointer that remember what was done with them.
using System.Globalization;
using Sharpvisor.Core;

namespace Sharpvisor.Display.Tests;

internal sealed class FakeConsole : IScreen, IKeyboard, IPointer
{
    private readonly Lock _lock = new();
    private readonly ScreenImage _image = new();
    private readonly List<string> _typed = [];
    private readonly List<PointerState> _pointed = [];
    private long _version;
    private bool _shown;

    public long Version => Interlocked.Read(ref _version);

    public bool IsActive => true;

    public bool IsWatched { get; private set; }

    public string Typed
    {
        get
        {
            lock (_lock)
            {
                return string.Join(' ', _typed);
            }
        }
    }

    public IReadOnlyList<PointerState> Pointed
    {
        get
        {
            lock (_lock)
            {
                return [.. _pointed];
            }
        }
    }

    /// <summary>Tiles of one colour, of few, and of many.</summary>
    public void Paint(Random random, int width, int height)
    {
        lock (_lock)
        {
            _image.Resize(width, height);
            for (int i = 0; i < width * height; i++)
            {
                int kind = ((i % width / 64) + (i / width / 64)) % 4;
                _image.Pixels[i] = kind switch
                {
                    0 => 0x334455,
                    1 => (uint)random.Next(2) * 0x10FF20,
                    2 => (uint)random.Next(11) * 0x010101,
                    _ => (uint)random.Next(0x1000000),
                };
            }

            _shown = true;
            _version++;
        }
    }

    public void Set(int x, int y, uint pixel)
    {
        lock (_lock)
        {
            _image.Row(y)[x] = pixel;
            _version++;
        }
    }

    public uint[] Pixels()
    {
        lock (_lock)
        {
            return _image.Pixels.ToArray();
        }
    }

    public bool TryCapture(ScreenImage image)
    {
        lock (_lock)
        {
            if (_shown)
            {
                image.Resize(_image.Width, _image.Height);
                _image.Pixels.CopyTo(image.Pixels);
            }

            return _shown;
        }
    }

    public void SetWatched(bool watched) => IsWatched = watched;

    public bool TrySend(KeyStroke stroke)
    {
        lock (_lock)
        {
            string prefix = stroke.Prefix == ScanCodePrefix.None ? "" : stroke.Prefix == ScanCodePrefix.E0 ? "e0:" : "e1:";
            _typed.Add(prefix + (stroke.Code | (stroke.Pressed ? 0 : 0x80)).ToString("x", CultureInfo.InvariantCulture));
            return true;
        }
    }

    public void Report(PointerState state)
    {
        lock (_lock)
        {
            _pointed.Add(state);
        }
    }
}

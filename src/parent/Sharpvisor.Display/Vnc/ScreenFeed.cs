// The picture that all of a server's clients look at: captured once for all of them, and not more often than anybody can see.
using Sharpvisor.Core;

namespace Sharpvisor.Display.Vnc;

internal sealed class ScreenFeed(IScreen screen)
{
    /// <summary>At most 25 pictures a second.</summary>
    public const int FrameMilliseconds = 40;

    private const int DarkWidth = 640;
    private const int DarkHeight = 400;

    private readonly Lock _lock = new();
    private readonly ScreenImage _image = new();
    private long _capturedAt = long.MinValue / 2;
    private long _version;
    private long _frame;
    private int _watchers;

    public (int Width, int Height) Size
    {
        get
        {
            lock (_lock)
            {
                Refresh();
                return (_image.Width, _image.Height);
            }
        }
    }

    public void AddWatcher()
    {
        lock (_lock)
        {
            if (++_watchers == 1)
            {
                screen.SetWatched(true);
            }
        }
    }

    public void RemoveWatcher()
    {
        lock (_lock)
        {
            if (--_watchers == 0)
            {
                screen.SetWatched(false);
            }
        }
    }

    /// <summary>Gives the current picture to a reader if it has not had it yet.</summary>
    public void Read(ref long frame, Action<ScreenImage> reader)
    {
        lock (_lock)
        {
            Refresh();
            if (frame != _frame)
            {
                frame = _frame;
                reader(_image);
            }
        }
    }

    private void Refresh()
    {
        long now = Environment.TickCount64;
        if (now - _capturedAt < FrameMilliseconds - 5)
        {
            return;
        }

        long version = screen.Version;
        if (_frame != 0 && version == _version)
        {
            return;
        }

        _capturedAt = now;
        _version = version;
        _frame++;
        if (!screen.TryCapture(_image))
        {
            _image.Resize(DarkWidth, DarkHeight);
            _image.Pixels.Clear();
        }
    }
}

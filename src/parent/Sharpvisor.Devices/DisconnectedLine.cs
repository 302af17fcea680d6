using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>An interrupt line that leads nowhere.</summary>
internal sealed class DisconnectedLine : IInterruptLine
{
    public static readonly DisconnectedLine Instance = new();

    public void Set(bool asserted)
    {
    }
}

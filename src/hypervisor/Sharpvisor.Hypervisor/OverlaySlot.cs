// A page of the hypervisor's that a guest register places somewhere in guest physical memory (TLFS "Overlay Pages").
// The content stays with the register: moving or disabling the overlay loses neither it nor what was below.
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class OverlaySlot
{
    private readonly GuestMemory _memory;
    private readonly bool _writable;
    private ulong _gpn;
    private bool _placed;

    public OverlaySlot(GuestMemory memory, bool writable)
    {
        _memory = memory;
        _writable = writable;
        Page = memory.CreateOverlayPage();
    }

    public OverlayPage Page { get; }

    /// <summary>Shows the page at a GPN, or nowhere. Outside the address space, or over another overlay, it is not visible.</summary>
    public void Update(bool enabled, ulong gpn)
    {
        if (_placed && (!enabled || gpn != _gpn))
        {
            _memory.RemoveOverlay(_gpn);
            _placed = false;
        }

        if (enabled && !_placed)
        {
            _gpn = gpn;
            _placed = _memory.PlaceOverlay(gpn, Page, _writable);
        }
    }
}

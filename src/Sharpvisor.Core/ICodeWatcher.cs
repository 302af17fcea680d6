// What GuestMemory needs of an engine that keeps write translations of its own.
namespace Sharpvisor.Core;

/// <summary>One VP's engine.</summary>
public interface ICodeWatcher
{
    /// <summary>
    /// Code was found on a page: writes to it must be announced from now on. The watcher drops its write translations of the page, now
    /// or when its VP reaches a block boundary, and then calls <see cref="GuestMemory.WritesDropped"/> once. Any thread.
    /// </summary>
    void CodeTracked(ulong gpn);
}

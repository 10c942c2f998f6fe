//! The trait with all hooks, and the macro that turns an `impl` into the exported descriptor.
//!
//! INVARIANT: a slot of the descriptor is filled exactly if the `impl` has a method of its name;
//! what the server does not have to call costs it one compare.

use core::ffi::CStr;

use crate::abi;
use crate::{ConnectionId, Flags, Flow, Host, Request, Why};

/// A plugin. Implement it inside [`plugin!`](crate::plugin!), with only the hooks that are needed.
///
/// Hooks run in the order of this list. Beside the results named, [`Flow::Error`] is always
/// allowed.
///
/// ```standalone_crate
/// use swiftd_plugin::*;
/// struct Deny;
/// plugin! {
///     impl Plugin for Deny {
///         const NAME: &CStr = c"deny";
///         fn init(_host: &Host) -> Result<Self, String> { Ok(Deny) }
///         fn url_clean(&mut self, req: &mut Request) -> Flow {
///             if req.path().starts_with(b"/private/") {
///                 return req.respond(403, "text/plain", "no\n");
///             }
///             Flow::GoOn
///         }
///     }
/// }
/// assert_eq!(testing::Harness::<Deny>::new().get("/private/x").status, 403);
/// ```
#[allow(unused_variables)]
pub trait Plugin: Sized + 'static {
    /// The plugin's name in the configuration: `[a-z][a-z0-9_]{0,30}`.
    const NAME: &CStr;
    /// For people.
    const VERSION: &CStr = c"";
    /// The version of what `save` writes.
    const STATE_VERSION: u32 = 0;
    /// What the server must know.
    const FLAGS: Flags = Flags::NONE;
    /// What it needs of a server that has locked itself in (`docs/PLUGINS.md`): `exec`, `network`,
    /// `code`, `calls`, `read:PATH`, `write:PATH`, `exec:PATH`. A path may be the value of a key,
    /// `read:$file`, or `@roots`.
    const NEEDS: &[&str] = &[];

    /// A new instance, before any request. The error is the reason why it is not loaded.
    fn init(host: &Host) -> Result<Self, String>;

    /// After the `init` of all new instances: the place for checks. An error rejects the reload.
    fn set_default(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Each second.
    fn trigger(&mut self) {}

    /// On SIGHUP.
    fn sighup(&mut self) {}

    /// The head is parsed, the target untouched. GoOn, Finished, Comeback, WaitFor*.
    fn url_raw(&mut self, req: &mut Request<'_>) -> Flow {
        Flow::GoOn
    }

    /// The path is decoded and clean. GoOn, Finished, Comeback, WaitFor*.
    fn url_clean(&mut self, req: &mut Request<'_>) -> Flow {
        Flow::GoOn
    }

    /// The document root is about to be used. GoOn, Finished, WaitFor*.
    fn docroot(&mut self, req: &mut Request<'_>) -> Flow {
        Flow::GoOn
    }

    /// Root and path are joined, nothing is looked up. GoOn, Finished, Comeback, WaitFor*.
    fn physical(&mut self, req: &mut Request<'_>) -> Flow {
        Flow::GoOn
    }

    /// Who answers? Finished: this plugin does, or has. GoOn, Finished, Comeback, WaitFor*.
    fn subrequest_start(&mut self, req: &mut Request<'_>) -> Flow {
        Flow::GoOn
    }

    /// The answer of the plugin that said so, the body being complete; again after each wake.
    /// Finished, WaitFor*, and Comeback before [`Request::start`].
    fn handle_subrequest(&mut self, req: &mut Request<'_>) -> Flow {
        Flow::Error
    }

    /// The suspended request was woken and is about to be resumed. GoOn.
    fn joblist(&mut self, req: &mut Request<'_>) -> Flow {
        Flow::GoOn
    }

    /// The response is handed over or given up: for every plugin. GoOn.
    fn subrequest_end(&mut self, req: &mut Request<'_>) -> Flow {
        Flow::GoOn
    }

    /// The request ended or was cancelled. After it the request's data are dropped.
    fn connection_reset(&mut self, req: &mut Request<'_>, why: Why) {}

    /// The connection ended. After it the connection's data are dropped.
    fn connection_close(&mut self, connection: ConnectionId, why: Why) {}

    /// What the next instance shall know, at most 1 MiB. It must not change the state: the reload
    /// may still fail.
    fn save(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// What another instance saved, perhaps of another version: do not trust the form.
    fn restore(&mut self, from: u32, blob: &[u8]) -> Result<(), String> {
        Ok(())
    }

    /// The instance has been replaced; requests may still be here.
    fn retire(&mut self) {}
}

/// A plugin with its descriptor. [`plugin!`](crate::plugin!) implements it.
///
/// # Safety
///
/// The hooks in the descriptor are those of [`entry`](crate::entry) for `Self`.
pub unsafe trait Exported: Plugin {
    /// What the server reads.
    const DESCRIPTOR: abi::Plugin;
}

/// Makes a library of an `impl Plugin`: fills exactly the slots of the methods that are written and
/// exports the descriptor `swiftd_plugin_v1` (not in test builds, where it would only collide).
///
/// ```standalone_crate
/// use swiftd_plugin::*;
/// struct Hello;
/// plugin! {
///     impl Plugin for Hello {
///         const NAME: &CStr = c"hello";
///         const VERSION: &CStr = c"1.2";
///         fn init(_host: &Host) -> Result<Self, String> { Ok(Hello) }
///         fn trigger(&mut self) {}
///     }
/// }
/// let slots = <Hello as Exported>::DESCRIPTOR;
/// assert!(slots.trigger.is_some() && slots.sighup.is_none());
/// ```
///
/// A misspelt hook does not compile:
///
/// ```compile_fail,E0407
/// use swiftd_plugin::*;
/// struct Hello;
/// plugin! {
///     impl Plugin for Hello {
///         const NAME: &CStr = c"hello";
///         fn init(_host: &Host) -> Result<Self, String> { Ok(Hello) }
///         fn handle_subrequset(&mut self, _req: &mut Request) -> Flow { Flow::GoOn }
///     }
/// }
/// ```
///
/// Nor does a name that the configuration could not hold:
///
/// ```compile_fail,E0080
/// use swiftd_plugin::*;
/// struct Hello;
/// plugin! {
///     impl Plugin for Hello {
///         const NAME: &CStr = c"Hello-World";
///         fn init(_host: &Host) -> Result<Self, String> { Ok(Hello) }
///     }
/// }
/// ```
#[macro_export]
macro_rules! plugin {
    (impl Plugin for $plugin:ty { $($items:tt)* }) => {
        impl $crate::Plugin for $plugin { $($items)* }

        #[cfg(panic = "abort")]
        ::core::compile_error!("a plugin is built with panic = \"unwind\": a panic is then a 500 and not the end of the server");

        // SAFETY: the slots are filled by name from `entry`, for this type.
        unsafe impl $crate::Exported for $plugin {
            const DESCRIPTOR: $crate::abi::Plugin = {
                let mut slots = $crate::entry::descriptor::<$plugin>();
                $crate::plugin!(@slots slots $plugin; $($items)*);
                slots
            };
        }

        $crate::export_symbol!($plugin);
    };
    (@slots $slots:ident $plugin:ty;) => {};
    (@slots $slots:ident $plugin:ty;
     $(#[$attribute:meta])* const $name:ident: $type:ty = $value:expr; $($rest:tt)*) => {
        $crate::plugin!(@slots $slots $plugin; $($rest)*);
    };
    (@slots $slots:ident $plugin:ty;
     $(#[$attribute:meta])* fn $hook:ident $(<$($life:lifetime),*>)? ($($arguments:tt)*)
     $(-> $result:ty)? { $($body:tt)* } $($rest:tt)*) => {
        $slots.$hook = ::core::option::Option::Some($crate::entry::$hook::<$plugin>);
        $crate::plugin!(@slots $slots $plugin; $($rest)*);
    };
}

/// The symbols that a server looks for in a library. Part of [`plugin!`](crate::plugin!).
#[cfg(not(feature = "builtin"))]
#[doc(hidden)]
#[macro_export]
macro_rules! export_symbol {
    ($plugin:ty) => {
        const _: () = {
            #[cfg(not(test))]
            #[allow(non_upper_case_globals)]
            #[unsafe(no_mangle)]
            pub static swiftd_plugin_v1: $crate::abi::Plugin =
                <$plugin as $crate::Exported>::DESCRIPTOR;

            #[cfg(not(test))]
            #[allow(non_upper_case_globals)]
            #[unsafe(no_mangle)]
            pub static swiftd_plugin_needs: [u8; $crate::entry::needs_bytes(
                <$plugin as $crate::Plugin>::NEEDS,
            )] = $crate::entry::needs(<$plugin as $crate::Plugin>::NEEDS);
        };
    };
}

/// A server that has the plugin built in names its type instead.
#[cfg(feature = "builtin")]
#[doc(hidden)]
#[macro_export]
macro_rules! export_symbol {
    ($plugin:ty) => {};
}

//! `-t` and the plugins: as whom, and out of where, a server would load them.

use super::{Ground, account};
use crate::config::Config;
use crate::plugin::check::{Survey, check_list};
use crate::sys::privileges;

/// What is wrong with the list of plugins and with what is in it. For that this process goes where the
/// server would be, and becomes whom the server would become, if it may: a plugin that is begun as
/// root could leave files behind that the server cannot open. There is no way back.
#[must_use]
pub fn check_plugins(config: &Config) -> Survey {
    let mut config = config.clone();
    if config.plugins.file.is_some() {
        match settle(&mut config) {
            Ok(None) => {}
            Ok(Some(warning)) => {
                return Survey {
                    warnings: vec![warning],
                    ..Survey::default()
                };
            }
            Err(why) => {
                return Survey {
                    faults: vec![why],
                    ..Survey::default()
                };
            }
        }
    }
    let Survey { faults, warnings } = check_list(&config.plugins);
    let faults = faults.into_iter().map(|fault| format!("plugins: {fault}"));
    if !config.plugins.is_optional {
        return Survey {
            faults: faults.collect(),
            warnings,
        };
    }
    let borne = faults.map(|fault| format!("{fault}; the server starts without them"));
    Survey {
        faults: Vec::new(),
        warnings: warnings.into_iter().chain(borne).collect(),
    }
}

/// As at the start of a server. A warning if the plugins cannot be seen from here.
fn settle(config: &mut Config) -> Result<Option<String>, String> {
    let ground = Ground::of(&config.service);
    let ground = ground.map_err(|error| format!("the working directory: {error}"))?;
    ground.settle(config);
    if privileges::effective_user() != 0 {
        let unseen = "the plugins are not tested: only root can see them from inside of chroot";
        return Ok(ground.jail().map(|_| unseen.to_owned()));
    }
    // That there is no such user has been told already.
    let Ok(account) = account(&config.service) else {
        return Ok(Some("the plugins are not tested without the user".into()));
    };
    if let Some(jail) = ground.jail() {
        if !jail.is_dir() {
            return Ok(Some("the plugins are not tested without the chroot".into()));
        }
        privileges::enter_jail(jail).map_err(|error| {
            let jail = jail.display();
            format!("cannot change the root directory to {jail}: {error}")
        })?;
        ground.settle_inside(config);
    }
    if let Some(account) = account {
        privileges::drop_to(&account)
            .map_err(|error| format!("cannot become user {}: {error}", account.name))?;
    }
    Ok(None)
}

import { defineInternalRedirectPredicate } from '#extension/internal-redirect-predicate.ts';
import type { AllowListedRoutesConfig } from '#schema/messages/envoy/extensions/internal_redirect/allow_listed_routes/v3.ts';
import type { FilterStateConfig } from '#schema/messages/envoy/extensions/internal_redirect/filter_state/v3.ts';

/** From one route a target is followed once. */
export const previousRoutes = defineInternalRedirectPredicate({
  kind: 'internal_redirect_predicate',
  name: 'envoy.internal_redirect_predicates.previous_routes',
  type: 'envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig',
  parse: () => ({}),
  prepare: () => ({
    allows({ routeName, targetRouteName, followed }) {
      const step = `${routeName}\n${targetRouteName}`;
      if (followed.has(step)) return false;
      followed.add(step);
      return true;
    },
  }),
});

export const allowListedRoutes = defineInternalRedirectPredicate({
  kind: 'internal_redirect_predicate',
  name: 'envoy.internal_redirect_predicates.allow_listed_routes',
  type: 'envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig',
  parse: (message: AllowListedRoutesConfig) => message.allowed_route_names,
  prepare: (names) => ({ allows: (redirect) => names.includes(redirect.targetRouteName) }),
});

export const safeCrossScheme = defineInternalRedirectPredicate({
  kind: 'internal_redirect_predicate',
  name: 'envoy.internal_redirect_predicates.safe_cross_scheme',
  type: 'envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig',
  parse: () => ({}),
  prepare: () => ({
    allows: ({ isDownstreamTls, targetScheme }) => isDownstreamTls || targetScheme !== 'https',
  }),
});

/** A boolean in the filter state decides. */
export const filterStateRedirect = defineInternalRedirectPredicate({
  kind: 'internal_redirect_predicate',
  name: 'envoy.internal_redirect_predicates.filter_state',
  type: 'envoy.extensions.internal_redirect.filter_state.v3.FilterStateConfig',
  parse: (message: FilterStateConfig) => ({
    key: message.redirect_enabled_key,
    ifAbsent: message.redirect_if_absent,
  }),
  prepare: ({ key, ifAbsent }) => ({
    allows({ stream }) {
      const object = stream.info.filterState?.get(key);
      return object === undefined ? ifAbsent : object.text === 'true';
    },
  }),
});
